package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute/images"
)

// What the app of these rows is: small, quick, and the same behind the edge, behind nginx and alone.
const (
	appMain = `package main

import (
	"net/http"
	"os"
	"strings"
)

func main() {
	body := []byte(strings.Repeat("nuage ", 50))
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
`
	appMod      = "module hello\n\ngo 1.24\n"
	appPort     = 8080
	connections = 64
	nginxImage  = "nuage/nginx:1"
)

// nginxConf is nginx as its manual has it for a proxy: kept connections both ways, no log.
const nginxConf = `worker_processes auto;
events { worker_connections 1024; }
http {
	access_log off;
	upstream app { server %s; keepalive %d; }
	server {
		listen %s;
		keepalive_requests 1000000000;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Request-Id $request_id;
		}
	}
}
`

// benchApps measures apps: the way through the edge against no proxy and against nginx, deploys against docker run, and the first
// request to an app that sleeps against the program's own start.
func benchApps(ctx context.Context, binary string) ([]row, error) {
	if err := images.Setup(ctx, io.Discard, images.Options{Part: "nginx"}); err != nil {
		return nil, err
	}
	c, err := start(ctx, binary, "docker")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	source, err := appSource()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(source)
	if _, err := c.run(ctx, "app", "deploy", "hello", "--source", source, "--size", "large"); err != nil {
		return nil, err
	}
	rows, err := c.edgeRows(ctx)
	if err != nil {
		return rows, err
	}
	more, err := c.deployRows(ctx)
	return append(rows, more...), err
}

func appSource() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "nuage-bench-app-"); err != nil {
		return "", err
	}
	return dir, errors.Join(os.WriteFile(filepath.Join(dir, "main.go"), []byte(appMain), 0o600), os.WriteFile(filepath.Join(dir, "go.mod"), []byte(appMod), 0o600))
}

// edgeRows sends the same requests through the edge, through nginx and to the app itself, in turns, so that a busy machine is busy for all.
func (c *cloud) edgeRows(ctx context.Context) ([]row, error) {
	app, err := c.api.Apps.Get(ctx, "default", "hello")
	if err != nil {
		return nil, err
	}
	direct, _, err := c.container(ctx, app.Status.Replicas[0].ID)
	if err != nil {
		return nil, err
	}
	proxy, end, err := startNginx(ctx, direct)
	if err != nil {
		return nil, err
	}
	defer end()
	status, err := c.api.System.Status(ctx)
	if err != nil {
		return nil, err
	}
	const rounds, each = 5, 2 * time.Second
	var edge, nginx, alone []load
	for range rounds {
		for _, way := range []struct {
			address string
			loads   *[]load
		}{{status.Edge, &edge}, {proxy, &nginx}, {direct, &alone}} {
			l, err := drive(way.address, "hello.app.localhost", connections, each)
			if err != nil {
				return nil, err
			}
			*way.loads = append(*way.loads, l)
		}
	}
	what := fmt.Sprintf("app by the edge, %d connections", connections)
	return []row{
		rateRow(what, middleRate(edge), middleRate(alone), "requests", "the app directly"),
		rateRow(what, middleRate(edge), middleRate(nginx), "requests", "nginx before the same app"),
		timeRow(what+", p99", middleP99(edge), middleP99(alone), "edge", "the app directly"),
		timeRow(what+", p99", middleP99(edge), middleP99(nginx), "edge", "nginx before the same app"),
	}, nil
}

func middleRate(loads []load) float64 {
	var all []time.Duration
	for _, l := range loads {
		all = append(all, time.Duration(l.rate*1000))
	}
	return float64(median(all)) / 1000
}

func middleP99(loads []load) time.Duration {
	var all []time.Duration
	for _, l := range loads {
		all = append(all, l.p99)
	}
	return median(all)
}

// container is where a replica listens, and its image.
func (c *cloud) container(ctx context.Context, id string) (address, image string, err error) {
	status, err := c.api.System.Status(ctx)
	if err != nil {
		return "", "", err
	}
	found, err := dockerDo(ctx, "ps", "--quiet", "--filter", "label=nuage.cloud="+status.CloudID, "--filter", "label=nuage.id="+id)
	if err != nil {
		return "", "", err
	}
	seen, err := dockerDo(ctx, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}{{.Image}}", found)
	address, image, _ = strings.Cut(seen, " ")
	return net.JoinHostPort(address, fmt.Sprint(appPort)), image, err
}

// startNginx starts nginx on the host, as the edge is, before an address, and returns where it listens.
func startNginx(ctx context.Context, app string) (address string, end func(), err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = free.Addr().String()
	if err := free.Close(); err != nil {
		return "", nil, err
	}
	id, err := dockerDo(ctx, "run", "--detach", "--network", "host", nginxImage, "sh", "-c", `printf '%s' "$0" >/etc/nginx/nginx.conf && exec nginx -g 'daemon off;'`,
		fmt.Sprintf(nginxConf, app, connections, address))
	if err != nil {
		return "", nil, err
	}
	end = func() { _ = dockerRemove(id) }
	if err := answers(ctx, "http://"+address); err != nil {
		end()
		return "", nil, err
	}
	return address, end, nil
}

// answers waits until an address answers 200.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func dockerDo(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, errs.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// deployRows deploys the app again and again, and wakes it from zero, against docker run of the same image until it answers.
func (c *cloud) deployRows(ctx context.Context) ([]row, error) {
	app, err := c.api.Apps.Get(ctx, "default", "hello")
	if err != nil {
		return nil, err
	}
	_, image, err := c.container(ctx, app.Status.Replicas[0].ID)
	if err != nil {
		return nil, err
	}
	const rounds = 7
	deploys, wakes, runs := make([]time.Duration, rounds), make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range rounds {
		if deploys[i], err = c.deploy(ctx, i); err != nil {
			return nil, err
		}
		if runs[i], err = plainRun(ctx, image); err != nil {
			return nil, err
		}
		if wakes[i], err = c.wake(ctx); err != nil {
			return nil, err
		}
	}
	base := median(runs)
	return []row{
		timeRow("app: a deploy, until it serves alone", median(deploys), base, "new settings, one command", "docker run -d, until it answers"),
		timeRow("app: first request from zero replicas", median(wakes), base, "held by the edge, then answered", "docker run -d, until it answers"),
	}, nil
}

func (c *cloud) deploy(ctx context.Context, turn int) (time.Duration, error) {
	begin := time.Now()
	_, err := c.run(ctx, "app", "config", "set", "hello", fmt.Sprint("TURN=", turn))
	return time.Since(begin), err
}

// plainRun times a container of the app from nothing to its first answer.
func plainRun(ctx context.Context, image string) (time.Duration, error) {
	begin := time.Now()
	id, err := dockerDo(ctx, "run", "--detach", "--env", fmt.Sprint("PORT=", appPort), image)
	if err != nil {
		return 0, err
	}
	ip, err := dockerDo(ctx, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", id)
	if err == nil {
		err = answers(ctx, "http://"+net.JoinHostPort(ip, fmt.Sprint(appPort)))
	}
	took := time.Since(begin)
	return took, errors.Join(err, dockerRemove(id))
}

// wake has the app go to zero replicas and times its first request.
func (c *cloud) wake(ctx context.Context) (time.Duration, error) {
	set := func(scaling *api.AppScaling) error {
		app, err := c.api.Apps.Get(ctx, "default", "hello")
		if err != nil {
			return err
		}
		app.Spec.Scaling = scaling
		_, err = c.api.Apps.Update(ctx, "default", "hello", app.Spec, 0)
		return err
	}
	if err := set(&api.AppScaling{Min: 0, Max: 1, IdleSeconds: 1}); err != nil {
		return 0, err
	}
	if err := c.asleep(ctx); err != nil {
		return 0, err
	}
	status, err := c.api.System.Status(ctx)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err = drive(status.Edge, "hello.app.localhost", 1, time.Nanosecond)
	took := time.Since(begin)
	return took, errors.Join(err, set(nil))
}

// asleep waits until the app has no replica.
func (c *cloud) asleep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		app, err := c.api.Apps.Wait(ctx, "default", "hello", time.Second)
		if err != nil {
			return err
		}
		if app.Status.Phase == api.Stopped && len(app.Status.Replicas) == 0 {
			return nil
		}
	}
}
