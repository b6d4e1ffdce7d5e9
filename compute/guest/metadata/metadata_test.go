package metadata

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nuage/compute/guest/link"
)

func example() link.Config {
	reclaim := time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))
	return link.Config{
		InstanceID: "i-0123456789abcdef", Hostname: "web", UserData: "#!/bin/sh\necho hi\n",
		AuthorizedKeys: []link.Key{{Name: "laptop", Line: "ssh-ed25519 AAAA ann\n"}, {Name: "old", Line: "ssh-rsa BBBB"}},
		Metadata: link.Metadata{Image: "debian-12", Type: "small", Address: "10.0.0.5", PublicAddress: "127.0.0.1", Project: "p", Region: "local-1",
			Zone: "local-1a", SecurityGroups: []string{"default", "web"}, Tags: map[string]string{"role": "front", "a/b": "slash"}, Spot: true, Reclaim: &reclaim},
	}
}

type client struct {
	t       *testing.T
	handler http.Handler
}

func (c client) do(method, path string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(method, "http://169.254.169.254"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w
}

func (c client) token(ttl string) string {
	c.t.Helper()
	w := c.do("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", ttl)
	if w.Code != 200 || w.Header().Get("X-aws-ec2-metadata-token-ttl-seconds") != ttl {
		c.t.Fatalf("token: %d, %v", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestPaths(t *testing.T) {
	c := client{t, New(example, time.Now)}
	token := c.token("60")
	for path, want := range map[string]string{
		"/":                                              versions,
		"/latest":                                        "dynamic\nmeta-data\nuser-data",
		"/latest/":                                       "dynamic\nmeta-data\nuser-data",
		"/latest/user-data":                              "#!/bin/sh\necho hi\n",
		"/latest/meta-data/":                             "ami-id\nhostname\ninstance-id\ninstance-life-cycle\ninstance-type\nlocal-hostname\nlocal-ipv4\nplacement/\npublic-ipv4\npublic-keys/\nsecurity-groups\nspot/\ntags/",
		"/latest/meta-data/ami-id":                       "debian-12",
		"/latest/meta-data/instance-id":                  "i-0123456789abcdef",
		"/2021-07-15/meta-data/instance-id":              "i-0123456789abcdef",
		"/1.0/meta-data/instance-id":                     "i-0123456789abcdef",
		"/latest//meta-data//instance-id":                "i-0123456789abcdef",
		"/latest/meta-data/instance-type":                "small",
		"/latest/meta-data/hostname":                     "web",
		"/latest/meta-data/local-hostname":               "web",
		"/latest/meta-data/local-ipv4":                   "10.0.0.5",
		"/latest/meta-data/public-ipv4":                  "127.0.0.1",
		"/latest/meta-data/placement":                    "availability-zone\nregion",
		"/latest/meta-data/placement/availability-zone":  "local-1a",
		"/latest/meta-data/placement/region":             "local-1",
		"/latest/meta-data/public-keys/":                 "0=laptop\n1=old",
		"/latest/meta-data/public-keys/0/":               "openssh-key",
		"/latest/meta-data/public-keys/0/openssh-key":    "ssh-ed25519 AAAA ann\n",
		"/latest/meta-data/public-keys/1/openssh-key":    "ssh-rsa BBBB\n",
		"/latest/meta-data/security-groups":              "default\nweb",
		"/latest/meta-data/tags/":                        "instance/",
		"/latest/meta-data/tags/instance":                "a/b\nrole",
		"/latest/meta-data/tags/instance/role":           "front",
		"/latest/meta-data/tags/instance/a%2Fb":          "slash",
		"/latest/meta-data/instance-life-cycle":          "spot",
		"/latest/meta-data/spot/":                        "instance-action\ntermination-time",
		"/latest/meta-data/spot/instance-action":         `{"action":"terminate","time":"2026-01-02T03:04:05Z"}`,
		"/latest/meta-data/spot/termination-time":        "2026-01-02T03:04:05Z",
		"/latest/dynamic/instance-identity/":             "document",
		"/latest/meta-data/none":                         "404",
		"/latest/meta-data/instance-id/":                 "404",
		"/latest/meta-data/instance-id/x":                "404",
		"/latest/meta-data/public-keys/2/openssh-key":    "404",
		"/latest/meta-data/iam/security-credentials/":    "404",
		"/latest/meta-data/../user-data":                 "404",
		"/2021-7-15/meta-data/":                          "404",
		"/metadata/instance?api-version=2017-04-02":      "404",
		"/latest/api/token":                              "404",
		"/computeMetadata/v1/instance/attributes/ssh-it": "404",
	} {
		w := c.do("GET", path, "X-aws-ec2-metadata-token", token)
		got := w.Body.String()
		if w.Code != 200 {
			got = fmt.Sprint(w.Code)
		}
		if got != want {
			t.Errorf("%s: %q; want %q", path, got, want)
		}
		if left := w.Header().Get("X-aws-ec2-metadata-token-ttl-seconds"); w.Code == 200 && left != "60" {
			t.Errorf("%s: %q seconds are left", path, left)
		}
	}
	const document = `{
  "accountId": "p",
  "architecture": "ARCH",
  "availabilityZone": "local-1a",
  "imageId": "debian-12",
  "instanceId": "i-0123456789abcdef",
  "instanceType": "small",
  "privateIp": "10.0.0.5",
  "region": "local-1",
  "version": "2017-09-30"
}`
	got := c.do("GET", "/latest/dynamic/instance-identity/document", "X-aws-ec2-metadata-token", token).Body.String()
	got = strings.NewReplacer("x86_64", "ARCH", "arm64", "ARCH").Replace(got)
	if got != document {
		t.Errorf("identity document:\n%s", got)
	}
}

// TestWhatIsNotThere reads what a machine without keys, tags, public address or notice has.
func TestWhatIsNotThere(t *testing.T) {
	config := link.Config{InstanceID: "i-1"}
	c := client{t, New(func() link.Config { return config }, time.Now)}
	token := c.token("60")
	read := func(path string) string { return c.do("GET", path, "X-aws-ec2-metadata-token", token).Body.String() }
	if got, want := read("/latest/meta-data/"), "ami-id\nhostname\ninstance-id\ninstance-life-cycle\ninstance-type\nlocal-hostname\nlocal-ipv4\nplacement/\nsecurity-groups"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := read("/latest/meta-data/instance-life-cycle"); got != "on-demand" {
		t.Errorf("life cycle: %q", got)
	}
	if got := read("/latest/meta-data/spot/instance-action"); got != "404 - Not Found\n" {
		t.Errorf("no notice: %q", got)
	}
	if got := read("/latest/user-data"); got != "404 - Not Found\n" {
		t.Errorf("no user data: %q", got)
	}
	config = example() // another Config is visible at once
	if got := read("/latest/meta-data/spot/termination-time"); got != "2026-01-02T03:04:05Z" {
		t.Errorf("after the notice: %q", got)
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client{t, New(example, time.Now)}
		const ttl = "X-aws-ec2-metadata-token-ttl-seconds"
		status := func(method, path string, header ...string) int { return c.do(method, path, header...).Code }
		for _, c := range []struct {
			what      string
			got, want int
		}{
			{"no time", status("PUT", "/latest/api/token"), 400},
			{"too short", status("PUT", "/latest/api/token", ttl, "0"), 400},
			{"too long", status("PUT", "/latest/api/token", ttl, "21601"), 400},
			{"no number", status("PUT", "/latest/api/token", ttl, "1h"), 400},
			{"the longest", status("PUT", "/latest/api/token", ttl, "21600"), 200},
			{"through a proxy", status("PUT", "/latest/api/token", ttl, "60", "X-Forwarded-For", "10.0.0.1"), 403},
			{"through a proxy that says nothing", status("PUT", "/latest/api/token", ttl, "60", "X-Forwarded-For", ""), 403},
			{"another path", status("PUT", "/latest/user-data", ttl, "60"), 405},
			{"another method", status("POST", "/latest/api/token", ttl, "60"), 405},
			{"without a token", status("GET", "/latest/meta-data/"), 401},
			{"with an empty token", status("GET", "/latest/meta-data/", "X-aws-ec2-metadata-token", ""), 401},
			{"with a token of nobody", status("GET", "/latest/meta-data/", "X-aws-ec2-metadata-token", strings.Repeat("A", 72)), 401},
			{"without a token, where nothing is", status("GET", "/none"), 401},
		} {
			if c.got != c.want {
				t.Errorf("%s: %d; want %d", c.what, c.got, c.want)
			}
		}
		token := c.token("2")
		other := client{t, New(example, time.Now)}
		if got := other.do("GET", "/", "X-aws-ec2-metadata-token", token).Code; got != 401 {
			t.Errorf("a token of another boot: %d", got)
		}
		changed := []byte(token)
		changed[3] ^= 1
		if got := c.do("GET", "/", "X-aws-ec2-metadata-token", string(changed)).Code; got != 401 {
			t.Errorf("a token with another end: %d", got)
		}
		time.Sleep(1500 * time.Millisecond)
		w := c.do("GET", "/", "X-aws-ec2-metadata-token", token)
		if left := w.Header().Get(ttl); w.Code != 200 || left != "1" {
			t.Errorf("in its time: %d, %s seconds left", w.Code, left)
		}
		time.Sleep(time.Second)
		if got := c.do("GET", "/", "X-aws-ec2-metadata-token", token).Code; got != 401 {
			t.Errorf("after its time: %d", got)
		}
	})
}

// FuzzRead asks for anything, with any token: only with a good one may there be an answer, and never one that is not the
// machine's.
func FuzzRead(f *testing.F) {
	for _, path := range []string{"/latest/meta-data/", "/latest/meta-data/tags/instance/a/b", "//", "/1.0/dynamic", "/latest/meta-data/public-keys/0"} {
		f.Add(path, "", "", "60")
	}
	f.Add("/latest/api/token", "x", "10.0.0.1", "-1")
	s := New(example, time.Now)
	f.Fuzz(func(t *testing.T, path, token, forwarded, ttl string) {
		for _, method := range []string{"GET", "PUT"} {
			r := httptest.NewRequest(method, "http://169.254.169.254/", nil)
			r.URL.Path = path
			r.Header = http.Header{tokenHeader: {token}, ttlHeader: {ttl}}
			if forwarded != "" {
				r.Header["X-Forwarded-For"] = []string{forwarded}
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code == 200 && (method == "GET" || forwarded != "") {
				t.Errorf("%s %q: %d", method, path, w.Code)
			}
			r.Header[tokenHeader] = []string{s.tokens.issue(60)}
			w = httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s %q: %d", method, path, w.Code)
			}
		}
	})
}
