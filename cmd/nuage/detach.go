package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nuage/api"
)

const (
	readyPause = 50 * time.Millisecond
	logTail    = 4 << 10 // bytes of log shown when a start fails
)

// child is a cloud started in the background.
type child struct {
	conf   serveConfig
	log    *os.File
	begin  int64 // where this start's log begins
	before os.FileInfo
	ended  chan error
	limit  time.Duration
}

// startChild runs this program again as the cloud itself, in a session of its own, with its output in the log.
func (c *cli) startChild(conf serveConfig) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot find this program: %w", err)
	}
	log, err := logFile(conf.Home)
	if err != nil {
		return nil, err
	}
	k := &child{conf: conf, log: log, ended: make(chan error, 1), limit: waitLimit}
	if k.begin, err = log.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(api.Errorf(api.Unavailable, "cannot write the log: %w", err), log.Close())
	}
	k.before = k.settingsFile()
	cmd := exec.Command(program, conf.args()...)
	cmd.Args[0] = "nuage"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = c.environ()
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(api.Errorf(api.Unavailable, "cannot start the cloud: %w", err), log.Close())
	}
	go func() { k.ended <- cmd.Wait() }()
	return k, nil
}

func (c *cli) environ() []string { return envLines(c.env) }

// settingsFile is the home's config.json as it is now, nil where there is none.
func (k *child) settingsFile() os.FileInfo {
	info, err := os.Stat(configPath(k.conf.Home))
	if err != nil {
		return nil
	}
	return info
}

// fresh reports whether the child has written its settings, so that those of an earlier cloud are not taken for its.
func (k *child) fresh() bool {
	now := k.settingsFile()
	return now != nil && (k.before == nil || !os.SameFile(now, k.before) || !now.ModTime().Equal(k.before.ModTime()))
}

// waitReady returns when the cloud is ready. When it ends instead, the error holds the end of its log.
func (k *child) waitReady(ctx context.Context, show func(string)) error {
	show("starting")
	tick := time.NewTicker(readyPause)
	defer tick.Stop()
	limit := time.NewTimer(k.limit)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return api.Errorf(api.Unavailable, "cannot wait for the cloud any longer: interrupted; it goes on starting, see nuage status")
		case <-limit.C:
			return api.Errorf(api.Unavailable, "cannot wait for the cloud any longer: %s have passed; it goes on starting, see %s", k.limit, k.log.Name())
		case err := <-k.ended:
			return k.died(err)
		case <-tick.C:
		}
		if ready, what := k.ready(ctx); ready {
			return nil
		} else if what != "" {
			show(what)
		}
	}
}

// ready asks the child whether it is ready, and if not what it waits for.
func (k *child) ready(ctx context.Context) (ready bool, what string) {
	if !k.fresh() {
		return false, ""
	}
	conf, err := loadConfig(k.conf.Home)
	if err != nil {
		return false, ""
	}
	return askReady(ctx, conf.URL)
}

// askReady asks a cloud's /readyz.
func askReady(ctx context.Context, url string) (ready bool, what string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false, ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, ""
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return true, ""
	}
	return false, "not ready yet"
}

// died words the end of a child that never got ready.
func (k *child) died(err error) error {
	how := "it ended"
	if err != nil {
		how = "it ended with " + err.Error()
	}
	text := strings.TrimSpace(k.tail())
	if text == "" {
		return api.Errorf(api.Unavailable, "cannot start the cloud: %s and left nothing in %s", how, k.log.Name())
	}
	return api.Errorf(api.Unavailable, "cannot start the cloud: %s; the end of %s:\n%s", how, filepath.Base(k.log.Name()), text)
}

// tail is the end of what the child has logged.
func (k *child) tail() string {
	end, err := k.log.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	begin := max(k.begin, end-logTail)
	data, err := io.ReadAll(io.NewSectionReader(k.log, begin, end-begin))
	if err != nil {
		return ""
	}
	return string(data)
}
