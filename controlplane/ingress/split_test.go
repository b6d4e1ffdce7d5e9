package ingress

import (
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// splitShop is a route with two groups of backends.
func splitShop(t *testing.T, sticky bool, shares ...Share) Route {
	t.Helper()
	r := shop()
	for _, group := range []string{"v2", "v3"} {
		for _, n := range []string{"-0", "-1"} {
			b, _ := replica(t, group+n, says(group))
			b.Group = group
			r.Backends = append(r.Backends, b)
		}
	}
	r.Split, r.Sticky = shares, sticky
	return r
}

// askHandler asks an edge without a listener.
func askHandler(e *Edge, cookie string) (body, set string) {
	r := httptest.NewRequest(http.MethodGet, "http://shop.app.localhost/", nil)
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: CookieRelease, Value: cookie})
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Body.String(), w.Header().Get("Set-Cookie")
}

func splitEdge(t *testing.T) *Edge {
	t.Helper()
	chance := rand.New(rand.NewPCG(1, 2))
	e := New(Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now, Random: chance.Float64})
	t.Cleanup(func() { e.Close() })
	return e
}

// TestSplitKeepsItsShares: of n requests a release with the share p gets n*p, within four standard deviations.
func TestSplitKeepsItsShares(t *testing.T) {
	const n, p = 4000, 0.1
	e := splitEdge(t)
	e.SetRoutes([]Route{splitShop(t, false, Share{"v3", 10}, Share{"v2", 90})})
	got := 0
	for range n {
		body, set := askHandler(e, "v3") // which counts for nothing where the app is not sticky
		if set != "" {
			t.Fatalf("a route that is not sticky sets the cookie %q", set)
		}
		if body == "v3" {
			got++
		}
	}
	if bound := 4 * math.Sqrt(n*p*(1-p)); math.Abs(float64(got)-n*p) > bound {
		t.Errorf("%d of %d requests went to a share of 10%%, want %.0f within %.0f", got, n, n*p, bound)
	}
}

func TestStickySplitKeepsAClientWithItsRelease(t *testing.T) {
	e := splitEdge(t)
	e.SetRoutes([]Route{splitShop(t, true, Share{"v3", 1}, Share{"v2", 99})})
	for range 50 {
		if body, set := askHandler(e, "v3"); body != "v3" || set != "" {
			t.Fatalf("a client of v3 got %q and the cookie %q", body, set)
		}
	}
	body, set := askHandler(e, "")
	if want := "nuage-release=" + body + "; Path=/; HttpOnly; SameSite=Lax"; set != want {
		t.Errorf("a new client got %q and the cookie %q, want %q", body, set, want)
	}
	e.SetRoutes([]Route{splitShop(t, true, Share{"v2", 100})})
	if body, set := askHandler(e, "v3"); body != "v2" || set != "nuage-release=v2; Path=/; HttpOnly; SameSite=Lax" {
		t.Errorf("a client of a release that is gone got %q and the cookie %q", body, set)
	}
}

// TestSplitWithoutBackendsOfOne: a release that has no replica gives its share to the others, and so does one that can't be dialled.
func TestSplitWithoutBackendsOfOne(t *testing.T) {
	e := splitEdge(t)
	r := splitShop(t, true, Share{"v3", 100}, Share{"v2", 0})
	r.Backends = r.Backends[:2]
	r.Split[1].Percent = 1
	e.SetRoutes([]Route{r})
	if body, set := askHandler(e, "v3"); body != "v2" || set == "" {
		t.Errorf("without a replica of v3 it answered %q with the cookie %q", body, set)
	}
	r.Backends = append(r.Backends, Backend{ID: "v3-0", Address: deadAddress(t), Group: "v3"})
	e.SetRoutes([]Route{r})
	if body, set := askHandler(e, "v3"); body != "v2" || set != "nuage-release=v2; Path=/; HttpOnly; SameSite=Lax" {
		t.Errorf("with a dead replica of v3 it answered %q with the cookie %q", body, set)
	}
}
