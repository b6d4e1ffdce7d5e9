package ingress

import (
	"bufio"
	"net"
	"net/http"
)

// statusClientGone is what metrics count for a caller that left before its answer. Nobody sees it.
const statusClientGone = 499

// answer is a ResponseWriter that knows its status.
type answer struct {
	http.ResponseWriter
	status   int // 0 until known
	onStatus func(int)
}

func (a *answer) WriteHeader(status int) {
	a.note(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.note(http.StatusOK)
	return a.ResponseWriter.Write(p)
}

// Hijack is how an upgraded connection is answered.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffer, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.note(http.StatusSwitchingProtocols)
	}
	return conn, buffer, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// note takes the first final status.
func (a *answer) note(status int) {
	if a.status != 0 || status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	a.status = status
	a.onStatus(status)
}
