package ingress

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// limited is a bench with one route within limits, whose backend says how many bytes it was sent, and takes its time for /slow.
func limited(t *testing.T, l Limits) *bench {
	t.Helper()
	b := newBench(t, nil)
	release := make(chan struct{})
	one, _ := replica(t, "app-1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			io.WriteString(w, strings.Repeat("x", len(body)))
		}
	})
	t.Cleanup(func() { close(release) })
	route := shop(one)
	route.Limits = l
	b.SetRoutes([]Route{route})
	return b
}

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	b := limited(t, Limits{Body: 10})
	const page = "cannot pass the request on to app \"shop\": it takes bodies of up to 10 bytes\n"
	for _, c := range []struct {
		body   io.Reader // one that is not a strings.Reader has no known length
		status int
		answer string
	}{
		{strings.NewReader("0123456789"), 200, "xxxxxxxxxx"},
		{strings.NewReader("0123456789a"), 413, page},
		{io.MultiReader(strings.NewReader("01234"), strings.NewReader("56789")), 200, "xxxxxxxxxx"},
		{io.MultiReader(strings.NewReader("01234"), strings.NewReader("56789a")), 413, page},
		{nil, 200, ""},
	} {
		response, body := b.do(t, b.request(t, "POST", "shop.app.localhost", "/", c.body))
		if response.StatusCode != c.status || body != c.answer {
			t.Errorf("it answered %d %q, want %d %q", response.StatusCode, body, c.status, c.answer)
		}
	}
}

func TestRequestsOverTheRateAreRefused(t *testing.T) {
	d, now := newDemand(time.Unix(100, 0)), time.Unix(100, 0)
	admitted := func(tries int) (n int) {
		for range tries {
			if d.admit(now, 4) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 4}, {250 * time.Millisecond, 1}, {500 * time.Millisecond, 2}, {time.Hour, 4}, {0, 0}} {
		now = now.Add(c.after)
		if got := admitted(10); got != c.want {
			t.Errorf("after %s %d requests were let through, want %d", c.after, got, c.want)
		}
	}
	b := limited(t, Limits{Rate: 1})
	b.get(t, "shop.app.localhost")
	response, body := b.do(t, b.request(t, "GET", "shop.app.localhost", "/", nil))
	if want := "cannot pass the request on to app \"shop\": it takes 1 requests per second; try again in a second\n"; response.StatusCode != 429 || body != want || response.Header.Get("Retry-After") != "1" {
		t.Errorf("the second request got %d %q", response.StatusCode, body)
	}
}

func TestAnAnswerThatDoesNotBeginIsGivenUp(t *testing.T) {
	b := limited(t, Limits{Answer: 20 * time.Millisecond})
	response, body := b.do(t, b.request(t, "GET", "shop.app.localhost", "/slow", nil))
	if want := "cannot wait longer for app \"shop\": it sent no answer within 20ms\n"; response.StatusCode != 504 || body != want {
		t.Errorf("it answered %d %q, want 504 %q", response.StatusCode, body, want)
	}
	if response, _ := b.do(t, b.request(t, "GET", "shop.app.localhost", "/", nil)); response.StatusCode != 200 {
		t.Errorf("a quick one was answered %d", response.StatusCode)
	}
}
