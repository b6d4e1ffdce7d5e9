package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"nuage/api"
	"nuage/api/client"
)

// cloud is a running nuage with a home of its own.
type cloud struct {
	binary, home, url, token string
	api                      api.Cloud
}

// start brings a cloud up; stop removes it and all it has made.
func start(ctx context.Context, binary, engine string) (*cloud, error) {
	home, err := os.MkdirTemp("", "nuage-bench-")
	if err != nil {
		return nil, err
	}
	c := &cloud{binary: binary, home: home}
	if err := c.up(ctx, engine); err != nil {
		return nil, err
	}
	return c, nil
}

// up starts the cloud of a home.
func (c *cloud) up(ctx context.Context, engine string) error {
	if _, err := c.run(ctx, "up", "--detach", "--engine", engine, "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(c.home, "config.json"))
	if err != nil {
		return err
	}
	var conf struct{ URL, Token string }
	if err := json.Unmarshal(raw, &conf); err != nil {
		return err
	}
	c.url, c.token = conf.URL, conf.Token
	c.api = client.New(c.url, c.token)
	return nil
}

func (c *cloud) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := c.run(ctx, "reset", "--yes"); err != nil {
		fmt.Fprintln(os.Stderr, "nuage-bench:", err)
	}
	os.RemoveAll(c.home)
}

// run runs a command line against the cloud.
func (c *cloud) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = append(os.Environ(), "NUAGE_HOME="+c.home, "NUAGE_URL=", "NUAGE_TOKEN=", "NUAGE_PROJECT=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("nuage %v: %w: %s", args, err, errs.String())
	}
	return out.String(), nil
}

// caller sends requests over kept connections.
type caller struct {
	http  *http.Client
	token string
}

func newCaller(token string) caller {
	return caller{token: token, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}, Timeout: time.Minute}}
}

func (c caller) do(method, url string, body []byte) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		return api.Errorf(api.Exhausted, "%s", text)
	}
	if err != nil || resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %.200s", method, url, resp.Status, text)
	}
	return nil
}
