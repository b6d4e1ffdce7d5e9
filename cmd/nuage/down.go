package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/storage"
)

const (
	downPause = 100 * time.Millisecond
	downLimit = 2 * time.Minute
)

func (c *cli) downCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the cloud and every workload; data stays",
		Long: "Stop every workload, then the cloud. Data stays, and so does what should run: the next nuage up starts it again. A cloud\n" +
			"that does not run is fine.",
		Example: "nuage down",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := c.settings()
			if err != nil {
				return err
			}
			running, err := c.shutdown(cmd.Context(), conf)
			if err != nil {
				return err
			}
			if !running {
				c.note("nuage: no cloud answers at %s; nothing to stop", conf.URL)
				return nil
			}
			return c.done("the cloud is down; nuage up brings it back as it was", "down")
		},
	}
}

// shutdown stops the cloud at conf.URL and waits until it is gone. running is false where none answered.
func (c *cli) shutdown(ctx context.Context, conf config) (running bool, err error) {
	if !answers(ctx, conf.URL) {
		return false, nil
	}
	t := c.progress("cloud")
	defer t.stop()
	t.show("stopping")
	if err := c.dial(conf.URL, conf.Token).System.Shutdown(ctx); err != nil {
		return true, err
	}
	home, err := c.home()
	if err != nil {
		return true, err
	}
	return true, waitDown(ctx, conf.URL, home)
}

// answers reports whether anything answers at a cloud's address.
func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}

// waitDown waits until neither the address answers nor a process holds the home.
func waitDown(ctx context.Context, url, home string) error {
	tick := time.NewTicker(downPause)
	defer tick.Stop()
	limit := time.NewTimer(downLimit)
	defer limit.Stop()
	for answers(ctx, url) || held(home) {
		select {
		case <-ctx.Done():
			return api.Errorf(api.Unavailable, "cannot wait for the cloud to stop any longer: interrupted; it goes on stopping")
		case <-limit.C:
			return api.Errorf(api.Unavailable, "cannot see the cloud at %s stop: %s have passed; look into nuage.log in its home", url, downLimit)
		case <-tick.C:
		}
	}
	return nil
}

func statePath(home string) string { return filepath.Join(home, "state.db") }

// held reports whether a process that lives holds the home's state.
func held(home string) bool {
	_, err := storage.ReadHolder(statePath(home))
	return err == nil
}

func (c *cli) resetCmd() *cobra.Command {
	var yes bool
	var engine string
	cmd := &cobra.Command{
		Use:   "reset --yes",
		Short: "Remove the cloud with everything in it, data too",
		Long: "Remove everything the cloud has made: instances, apps, databases with their data, functions, the record and the bill. A\n" +
			"running cloud is stopped first. Base images and caches stay, so that the next start is quick.",
		Example: lines("nuage reset --yes", "nuage backup before.nuage && nuage reset --yes"),
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return usagef("cannot reset without --yes: it removes the cloud with all its data for good")
			}
			return c.reset(cmd.Context(), engine)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, remove all of it; it must be given; default: refuse")
	cmd.Flags().Var(newChoice(&engine, "auto", "docker", "sim"), "engine", "engine of a cloud that does not run now: auto, docker or sim")
	return cmd
}

// reset stops the home's cloud, if it runs, and removes all of it.
func (c *cli) reset(ctx context.Context, engine string) error {
	home, err := c.home()
	if err != nil {
		return err
	}
	if _, err := os.Stat(home); errors.Is(err, os.ErrNotExist) {
		c.note("nuage: there is no cloud in %s; nothing to remove", home)
		return nil
	}
	conf, err := loadConfig(home)
	if err != nil {
		return err
	}
	if held(home) {
		if engine, err = c.stopForReset(ctx, conf, engine); err != nil {
			return err
		}
	}
	t := c.progress("cloud")
	defer t.stop()
	t.show("removing everything")
	if err := wipe(ctx, home, engine); err != nil {
		return err
	}
	t.stop()
	return c.done("the cloud and all its data are gone", "reset")
}

// stopForReset shuts the home's cloud down and returns which engine it used.
func (c *cli) stopForReset(ctx context.Context, conf config, engine string) (string, error) {
	status, err := c.dial(conf.URL, conf.Token).System.Status(ctx)
	if err == nil && engine == "auto" {
		engine = strings.ToLower(firstWord(status.Engine))
	}
	running, err := c.shutdown(ctx, conf)
	if err != nil {
		return engine, err
	}
	if !running {
		return engine, api.Errorf(api.Conflict, "cannot reset: a process holds the home, but no cloud answers at %q; end that process first", conf.URL)
	}
	return engine, nil
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}
