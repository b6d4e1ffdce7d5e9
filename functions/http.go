package functions

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// httpEvent is AWS's payload format 2.0.
type httpEvent struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Cookies        []string          `json:"cookies,omitempty"`
	Headers        map[string]string `json:"headers"`
	Query          map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext httpContext       `json:"requestContext"`
	Body           string            `json:"body,omitempty"`
	Base64         bool              `json:"isBase64Encoded"`
}

type httpContext struct {
	AccountID    string     `json:"accountId"`
	APIID        string     `json:"apiId"`
	DomainName   string     `json:"domainName"`
	DomainPrefix string     `json:"domainPrefix"`
	HTTP         httpMethod `json:"http"`
	RequestID    string     `json:"requestId"`
	RouteKey     string     `json:"routeKey"`
	Stage        string     `json:"stage"`
	Time         string     `json:"time"`
	TimeEpoch    int64      `json:"timeEpoch"`
}

type httpMethod struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// HTTPEvent turns a request to a function's URL into the event of AWS's payload format 2.0, as JSON. Header names
// are in lower case, repeated values joined with commas, cookies apart; a body that is no UTF-8 text is in base64.
func HTTPEvent(r *http.Request, body []byte, requestID string, now time.Time) []byte {
	e := httpEvent{
		Version: "2.0", RouteKey: "$default", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery,
		Headers: map[string]string{"host": r.Host}, RequestContext: newHTTPContext(r, requestID, now),
	}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	delete(e.Headers, "cookie")
	for _, c := range r.Cookies() {
		e.Cookies = append(e.Cookies, c.Name+"="+c.Value)
	}
	e.Query = joined(r.URL.Query())
	e.Body, e.Base64 = text(body)
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // plain data: nothing here can fail to encode
	}
	return b
}

func newHTTPContext(r *http.Request, requestID string, now time.Time) httpContext {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	prefix, _, _ := strings.Cut(host, ".")
	now = now.UTC()
	return httpContext{
		AccountID: "anonymous", APIID: prefix, DomainName: host, DomainPrefix: prefix,
		HTTP:      httpMethod{Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: source, UserAgent: r.UserAgent()},
		RequestID: requestID, RouteKey: "$default", Stage: "$default",
		Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
	}
}

func joined(values map[string][]string) map[string]string {
	if len(values) == 0 {
		return nil
	}
	m := make(map[string]string, len(values))
	for name, v := range values {
		m[name] = strings.Join(v, ",")
	}
	return m
}

// text returns body as a JSON string can hold it, and whether that is base64.
func text(body []byte) (string, bool) {
	if utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// httpAnswer is an answer that says how it wants to be sent.
type httpAnswer struct {
	StatusCode int                   `json:"statusCode"`
	Headers    map[string]headerText `json:"headers"`
	Cookies    []string              `json:"cookies"`
	Body       string                `json:"body"`
	Base64     bool                  `json:"isBase64Encoded"`
}

// headerText is a header's value, which functions also give as a number or truth value.
type headerText string

// UnmarshalJSON implements json.Unmarshaler.
func (h *headerText) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		err := json.Unmarshal(b, &s)
		*h = headerText(s)
		return err
	}
	*h = headerText(b)
	return nil
}

// integrationResponse is the type of a streamed answer that begins with its status and headers as JSON and eight zero bytes.
const integrationResponse = "application/vnd.awslambda.http-integration-response"

// WriteHTTP writes a function's answer to a request: an object with statusCode goes out as its statusCode, headers,
// cookies, body and isBase64Encoded say; any other JSON as 200 application/json; other bytes as 200 with a type by
// their looks. A function error, or an object that can not be sent, is a 502 with a JSON body.
func WriteHTTP(w http.ResponseWriter, contentType string, payload []byte, functionError string) {
	if functionError != "" {
		writeBadGateway(w, "the function failed; its log says why")
		return
	}
	if contentType == integrationResponse {
		writePrelude(w, payload)
		return
	}
	if !wantsStatus(payload) {
		writePlain(w, payload)
		return
	}
	a, body, problem := parseAnswer(payload)
	if problem != "" {
		writeBadGateway(w, "the function's answer can not be sent: "+problem)
		return
	}
	a.write(w, body)
}

// writePrelude writes a streamed answer: what is before the zero bytes says how the rest is sent.
func writePrelude(w http.ResponseWriter, payload []byte) {
	head, body, found := bytes.Cut(payload, make([]byte, 8))
	a := httpAnswer{StatusCode: http.StatusOK}
	if !found || json.Unmarshal(head, &a) != nil || a.StatusCode < 200 || a.StatusCode > 599 {
		writeBadGateway(w, "the function's answer can not be sent: it does not begin with statusCode and headers as JSON and eight zero bytes")
		return
	}
	a.write(w, body)
}

// wantsStatus reports whether payload is an object with the member statusCode.
func wantsStatus(payload []byte) bool {
	var probe map[string]json.RawMessage
	return json.Unmarshal(payload, &probe) == nil && probe["statusCode"] != nil
}

// parseAnswer decodes an answer with a statusCode; problem says what is wrong with it.
func parseAnswer(payload []byte) (a httpAnswer, body []byte, problem string) {
	if err := json.Unmarshal(payload, &a); err != nil {
		return a, nil, "statusCode must be a number, headers an object, cookies a list of strings, body a string and isBase64Encoded true or false"
	}
	if a.StatusCode < 200 || a.StatusCode > 599 {
		return a, nil, "statusCode is not between 200 and 599"
	}
	body = []byte(a.Body)
	if a.Base64 {
		decoded, err := base64.StdEncoding.DecodeString(a.Body)
		if err != nil {
			return a, nil, "isBase64Encoded is true and body is no base64"
		}
		body = decoded
	}
	return a, body, ""
}

func (a httpAnswer) write(w http.ResponseWriter, body []byte) {
	h := w.Header()
	for name, value := range a.Headers {
		if !connectionHeader(name) {
			h.Set(name, string(value))
		}
	}
	for _, c := range a.Cookies {
		h.Add("Set-Cookie", c)
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	writeBody(w, a.StatusCode, body)
}

// connectionHeader reports whether a header belongs to the connection, which is not the function's.
func connectionHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func writePlain(w http.ResponseWriter, payload []byte) {
	kind := "application/json"
	if !json.Valid(payload) {
		kind = http.DetectContentType(payload)
	}
	w.Header().Set("Content-Type", kind)
	writeBody(w, http.StatusOK, payload)
}

func writeBadGateway(w http.ResponseWriter, message string) {
	b, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		panic(err) // a string can not fail to encode
	}
	w.Header().Set("Content-Type", "application/json")
	writeBody(w, http.StatusBadGateway, append(b, '\n'))
}

// writeBody sends the answer. A client that has gone away is no one's error.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
