package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"nuage/api"
)

const benchImage = "nuage/debian-12:1" // what debian-12 of the catalog is to the engine

// benchInstance makes an instance and logs in by OpenSSH, against docker run of the same image and its first exec. The
// two take turns, so that a busy machine is busy for both.
func benchInstance(ctx context.Context, binary string) ([]row, error) {
	c, err := start(ctx, binary, "docker")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	const rounds = 9
	ours, base := make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range rounds {
		if ours[i], err = c.login(ctx, fmt.Sprintf("bench%d", i)); err != nil {
			return nil, err
		}
		if base[i], err = dockerRun(ctx); err != nil {
			return nil, err
		}
	}
	return []row{timeRow("instance: create to SSH login, debian-12", median(ours), median(base), "two commands, real OpenSSH", "docker run -d, docker exec true")}, nil
}

// login times an instance from nothing to its first SSH command, and deletes it.
func (c *cloud) login(ctx context.Context, name string) (time.Duration, error) {
	begin := time.Now()
	if _, err := c.run(ctx, "instance", "create", name, "--image", "debian-12"); err != nil {
		return 0, err
	}
	if _, err := c.run(ctx, "ssh", name, "--", "true"); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	_, err := c.run(ctx, "instance", "delete", name)
	return took, err
}

// dockerRun times a plain container from nothing to its first exec, and removes it.
func dockerRun(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	id, err := dockerStart(ctx)
	if err != nil {
		return 0, err
	}
	err = exec.CommandContext(ctx, "docker", "exec", id, "true").Run()
	took := time.Since(begin)
	return took, errors.Join(err, dockerRemove(id))
}

func dockerStart(ctx context.Context) (string, error) {
	id, err := exec.CommandContext(ctx, "docker", "run", "-d", benchImage, "sleep", "600").Output()
	if err != nil {
		return "", fmt.Errorf("docker run: %w", err)
	}
	return string(bytes.TrimSpace(id)), nil
}

func dockerRemove(ids ...string) error {
	return exec.Command("docker", append([]string{"rm", "-f"}, ids...)...).Run()
}

// crowd is how many instances are made at once.
const crowd = 50

// benchCrowd makes many instances at once, each by a command of its own that returns when SSH answers, against as many
// plain docker runs.
func benchCrowd(ctx context.Context, binary string) ([]row, error) {
	c, err := start(ctx, binary, "docker")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	if _, err := c.login(ctx, "first"); err != nil { // the network and the key are made once
		return nil, err
	}
	const rounds = 3
	ours, base := make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range rounds {
		if ours[i], err = c.crowd(ctx, i); err != nil {
			return nil, err
		}
		if base[i], err = dockerCrowd(ctx); err != nil {
			return nil, err
		}
	}
	what := fmt.Sprintf("instances: %d at once, debian-12", crowd)
	return []row{timeRow(what, median(ours), median(base), "commands side by side, until SSH answers", "docker run -d side by side")}, nil
}

// crowd times the making of many instances, and deletes them.
func (c *cloud) crowd(ctx context.Context, round int) (time.Duration, error) {
	name := func(i int) string { return fmt.Sprintf("r%d-%d", round, i) }
	begin := time.Now()
	err := sideBySide(func(i int) error {
		_, err := c.run(ctx, "instance", "create", name(i), "--image", "debian-12", "--type", "nano")
		return err
	})
	took := time.Since(begin)
	gone := sideBySide(func(i int) error {
		if err := c.api.Instances.Delete(ctx, "default", name(i), 0); err != nil {
			return err
		}
		_, err := c.api.Instances.Wait(ctx, "default", name(i), time.Minute)
		if errors.Is(err, api.NotFound) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("%s is still there", name(i)))
	})
	return took, errors.Join(err, gone)
}

func dockerCrowd(ctx context.Context) (time.Duration, error) {
	ids := make([]string, crowd)
	begin := time.Now()
	err := sideBySide(func(i int) (err error) { ids[i], err = dockerStart(ctx); return err })
	took := time.Since(begin)
	return took, errors.Join(err, dockerRemove(ids...))
}

func sideBySide(fn func(i int) error) error {
	errs := make([]error, crowd)
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// benchMemory is the control plane's resident memory with a thousand simulated instances at rest, against none.
func benchMemory(ctx context.Context, binary string) ([]row, error) {
	c, err := start(ctx, binary, "sim")
	if err != nil {
		return nil, err
	}
	defer c.stop()
	empty, err := c.resident()
	if err != nil {
		return nil, err
	}
	const many = 1000
	for i := range many {
		if _, err := c.api.Instances.Create(ctx, "default", fmt.Sprintf("i%d", i), api.InstanceSpec{Type: "nano"}); err != nil {
			return nil, err
		}
	}
	for i := range many {
		if _, err := c.api.Instances.Wait(ctx, "default", fmt.Sprintf("i%d", i), time.Minute); err != nil {
			return nil, err
		}
	}
	full, err := c.resident()
	made := row{name: fmt.Sprintf("memory: %d simulated instances", many), ours: mib(full), base: mib(empty), ratio: float64(full) / float64(empty),
		oursIs: "resident, at rest", baseIs: "the same process without any"}
	return []row{made}, err
}

// resident is the memory of the process that serves, in bytes, as it tells Prometheus.
func (c *cloud) resident() (int64, error) {
	answer, err := http.Get(c.url + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); found {
			n, err := strconv.ParseFloat(value, 64)
			return int64(n), err
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("/metrics does not tell the memory in use"))
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
