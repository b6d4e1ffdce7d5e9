package ingress

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestDemandIsAMeanOverTheWindow(t *testing.T) {
	start := time.Unix(1000, 0)
	d := newDemand(start)
	for second := range 60 {
		for range 4 {
			at := start.Add(time.Duration(second) * time.Second)
			d.arrive(at)
			d.depart(at)
		}
		if got := d.now(start.Add(time.Duration(second+1) * time.Second)).Rate; got != 4 {
			t.Fatalf("after %d s of 4 requests a second the rate is %v", second+1, got)
		}
	}
	if got := d.now(start.Add(75 * time.Second)); got.Rate != 2 || !got.Last.Equal(start.Add(59*time.Second)) || got.InFlight != 0 {
		t.Errorf("after 15 s without any it is %+v, want a rate of 2", got)
	}
	if got := d.now(start.Add(time.Hour)); got.Rate != 0 {
		t.Errorf("after an hour the rate is %v", got.Rate)
	}
}

func TestHeldRequestIsAnsweredWhenABackendComes(t *testing.T) {
	b := newBench(t, nil)
	asked := make(chan struct{}, 10)
	b.OnHeld(func() { asked <- struct{}{} })
	r := shop()
	r.Hold = Hold{Most: 2, For: 5 * time.Second}
	b.SetRoutes([]Route{r})
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			request, _ := http.NewRequest(http.MethodPost, b.server.URL, strings.NewReader("body"))
			request.Host = "shop.app.localhost"
			response, err := b.server.Client().Do(request)
			if err != nil {
				answers <- err.Error()
				return
			}
			response.Body.Close()
			answers <- response.Status
		}()
		<-asked
	}
	eventually(t, "two wait", func() bool { return b.Demand("shop.app.localhost").Held == 2 })
	if code, body := b.get(t, "shop.app.localhost"); code != 503 || body != "cannot reach app \"shop\": it is being started, and 2 requests wait for it already\n" {
		t.Errorf("a third one got %d %q", code, body)
	}
	one, _ := replica(t, "app-1", says("shop"))
	r.Backends = []Backend{one}
	b.SetRoutes([]Route{r})
	for range 2 {
		if got := <-answers; got != "200 OK" {
			t.Errorf("a request that waited got %s", got)
		}
	}
	eventually(t, "none is in flight", func() bool { d := b.Demand("shop.app.localhost"); return d.Held == 0 && d.InFlight == 0 })
}

func TestHeldRequestWaitsNoLongerThanItMay(t *testing.T) {
	b := newBench(t, nil)
	r := shop()
	r.Hold, r.Note = Hold{Most: 2, For: 20 * time.Millisecond}, "starting"
	b.SetRoutes([]Route{r})
	if code, body := b.get(t, "shop.app.localhost"); code != 503 || body != "cannot reach app \"shop\": starting; the request waited 20ms for a replica\n" {
		t.Errorf("it got %d %q", code, body)
	}
}
