package functions

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHTTPEvent(t *testing.T) {
	tests := []struct {
		name, method, target, body string
		header                     http.Header
		want                       string
	}{
		{"get", "GET", "http://greet.fn.localhost:7080/a%20b?x=1&x=2&y=%26", "", http.Header{"Cookie": {"a=1; b=2"}, "X-One": {"1", "2"}, "User-Agent": {"curl/8"}},
			`{"version":"2.0","routeKey":"$default","rawPath":"/a%20b","rawQueryString":"x=1\u0026x=2\u0026y=%26","cookies":["a=1","b=2"],` +
				`"headers":{"host":"greet.fn.localhost:7080","user-agent":"curl/8","x-one":"1,2"},"queryStringParameters":{"x":"1,2","y":"\u0026"},` +
				`"requestContext":{"accountId":"anonymous","apiId":"greet","domainName":"greet.fn.localhost","domainPrefix":"greet",` +
				`"http":{"method":"GET","path":"/a b","protocol":"HTTP/1.1","sourceIp":"192.0.2.1","userAgent":"curl/8"},` +
				`"requestId":"req-1","routeKey":"$default","stage":"$default","time":"02/Jan/2026:03:04:05 +0000","timeEpoch":1767323045000},"isBase64Encoded":false}`},
		{"text", "POST", "http://f.fn.localhost/", "héllo", http.Header{"Content-Type": {"text/plain"}},
			`{"version":"2.0","routeKey":"$default","rawPath":"/","rawQueryString":"",` +
				`"headers":{"content-type":"text/plain","host":"f.fn.localhost"},` +
				`"requestContext":{"accountId":"anonymous","apiId":"f","domainName":"f.fn.localhost","domainPrefix":"f",` +
				`"http":{"method":"POST","path":"/","protocol":"HTTP/1.1","sourceIp":"192.0.2.1","userAgent":""},` +
				`"requestId":"req-1","routeKey":"$default","stage":"$default","time":"02/Jan/2026:03:04:05 +0000","timeEpoch":1767323045000},"body":"héllo","isBase64Encoded":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
			for name, values := range tt.header {
				r.Header[name] = values
			}
			if got := string(HTTPEvent(r, []byte(tt.body), "req-1", start)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWriteHTTP(t *testing.T) {
	tests := []struct {
		name, payload, functionError string
		status                       int
		header                       http.Header
		body                         string
	}{
		{"plain JSON", `{"a":1}`, "", 200, http.Header{"Content-Type": {"application/json"}}, `{"a":1}`},
		{"a JSON string", `"a"`, "", 200, http.Header{"Content-Type": {"application/json"}}, `"a"`},
		{"text", "hello", "", 200, http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, "hello"},
		{"page", "<!DOCTYPE html><p>", "", 200, http.Header{"Content-Type": {"text/html; charset=utf-8"}}, "<!DOCTYPE html><p>"},
		{"whole", `{"statusCode":201,"headers":{"content-type":"text/plain","X-Count":3,"Connection":"close","content-length":"9"},"cookies":["a=1","b=2"],"body":"made"}`, "",
			201, http.Header{"Content-Type": {"text/plain"}, "X-Count": {"3"}, "Set-Cookie": {"a=1", "b=2"}}, "made"},
		{"base64", `{"statusCode":200,"body":"/wA=","isBase64Encoded":true,"headers":{"Content-Type":"image/png"}}`, "",
			200, http.Header{"Content-Type": {"image/png"}}, "\xff\x00"},
		{"no content", `{"statusCode":204}`, "", 204, http.Header{"Content-Type": {"application/json"}}, ""},
		{"function error", `{"errorMessage":"secret"}`, "Unhandled", 502, http.Header{"Content-Type": {"application/json"}},
			`{"message":"the function failed; its log says why"}` + "\n"},
		{"bad status", `{"statusCode":99}`, "", 502, http.Header{"Content-Type": {"application/json"}},
			`{"message":"the function's answer can not be sent: statusCode is not between 200 and 599"}` + "\n"},
		{"body is an object", `{"statusCode":200,"body":{}}`, "", 502, http.Header{"Content-Type": {"application/json"}},
			`{"message":"the function's answer can not be sent: statusCode must be a number, headers an object, cookies a list of strings, body a string and isBase64Encoded true or false"}` + "\n"},
		{"bad base64", `{"statusCode":200,"body":"!","isBase64Encoded":true}`, "", 502, http.Header{"Content-Type": {"application/json"}},
			`{"message":"the function's answer can not be sent: isBase64Encoded is true and body is no base64"}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteHTTP(w, "application/json", []byte(tt.payload), tt.functionError)
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("got %d %q\nwant %d %q", w.Code, w.Body, tt.status, tt.body)
			}
			for name := range w.Header() {
				if got, want := strings.Join(w.Header()[name], "|"), strings.Join(tt.header[name], "|"); got != want {
					t.Errorf("header %s: got %q, want %q", name, got, want)
				}
			}
			if len(w.Header()) != len(tt.header) {
				t.Errorf("got headers %v, want %v", w.Header(), tt.header)
			}
		})
	}
}

func FuzzHTTPEvent(f *testing.F) {
	f.Add("/a?b=c", "k=v", []byte("body"))
	f.Add("/%ff?%zz", "=;", []byte{0xff})
	f.Fuzz(func(t *testing.T, target, cookie string, body []byte) {
		r, err := http.NewRequest("POST", "http://f.fn.localhost"+target, nil)
		if err != nil {
			return
		}
		r.Header.Set("Cookie", cookie)
		var e httpEvent
		if err := json.Unmarshal(HTTPEvent(r, body, "id", time.Unix(0, 0)), &e); err != nil {
			t.Fatal(err)
		}
		got := []byte(e.Body)
		if e.Base64 {
			if got, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != string(body) {
			t.Fatalf("body %q became %q", body, got)
		}
	})
}

func FuzzWriteHTTP(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"A":"b"},"cookies":["c"],"body":"d"}`))
	f.Add([]byte(`{"statusCode":"200"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		w := httptest.NewRecorder()
		WriteHTTP(w, "application/json", payload, "")
		if w.Code < 200 || w.Code > 599 {
			t.Fatalf("status %d", w.Code)
		}
	})
}

// A streamed answer begins with its status and headers.
func TestWritePrelude(t *testing.T) {
	zero := strings.Repeat("\x00", 8)
	tests := []struct {
		payload, body, header string
		status                int
	}{
		{`{"statusCode":201,"headers":{"X-A":"b","Content-Type":"text/html"},"cookies":["k=v"]}` + zero + "<p>\x00</p>", "<p>\x00</p>", "text/html b k=v", 201},
		{`{}` + zero + "plain", "plain", "application/json  ", 200},
		{`{"statusCode":201}`, `{"message":"the function's answer can not be sent: it does not begin with statusCode and headers as JSON and eight zero bytes"}` + "\n", "application/json  ", 502},
		{`{"statusCode":99}` + zero, `{"message":"the function's answer can not be sent: it does not begin with statusCode and headers as JSON and eight zero bytes"}` + "\n", "application/json  ", 502},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		WriteHTTP(w, integrationResponse, []byte(tt.payload), "")
		header := w.Header().Get("Content-Type") + " " + w.Header().Get("X-A") + " " + w.Header().Get("Set-Cookie")
		if w.Code != tt.status || w.Body.String() != tt.body || header != tt.header {
			t.Errorf("%q: got %d %q, %q", tt.payload, w.Code, w.Body, header)
		}
	}
}
