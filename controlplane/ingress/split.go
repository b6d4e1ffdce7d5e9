package ingress

import (
	"net/http"
	"slices"
)

// CookieRelease names the cookie that keeps a client with the group that answered it first.
const CookieRelease = "nuage-release"

// Share is one group's part of a route's requests.
type Share struct {
	Group   string // of Backend.Group
	Percent int
}

// group chooses whose backends answer a request: by its cookie where the route is sticky, else by chance and share. Groups without a
// backend get nothing, and the others their shares of it. It is "" where requests are not split.
func (e *Edge) group(r *http.Request, route Route) string {
	var there []Share
	sum := 0
	for _, s := range route.Split {
		if s.Percent > 0 && slices.ContainsFunc(route.Backends, func(b Backend) bool { return b.Group == s.Group }) {
			there = append(there, s)
			sum += s.Percent
		}
	}
	if len(there) == 0 {
		return ""
	}
	if asked := cookieGroup(r); route.Sticky && slices.ContainsFunc(there, func(s Share) bool { return s.Group == asked }) {
		return asked
	}
	at := e.random() * float64(sum)
	for _, s := range there {
		if at -= float64(s.Percent); at < 0 {
			return s.Group
		}
	}
	return there[len(there)-1].Group // of a sum that was rounded
}

// cookieGroup is the group that a client was answered by; "" where it has no cookie.
func cookieGroup(r *http.Request) string {
	cookie, err := r.Cookie(CookieRelease)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// stick has the client of a sticky split route stay with the group that answers it.
func stick(answer *http.Response, f *flight) {
	if !f.route.Sticky || len(f.route.Split) == 0 || cookieGroup(answer.Request) == f.answers {
		return
	}
	cookie := http.Cookie{Name: CookieRelease, Value: f.answers, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: f.secure}
	answer.Header.Add("Set-Cookie", cookie.String())
}
