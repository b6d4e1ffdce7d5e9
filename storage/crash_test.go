//go:build unix

package storage_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"nuage/api"
	"nuage/storage"
)

// appendChild appends from eight goroutines until it is killed and prints the number of each record once it is
// acknowledged. With each record a counter of its writer is put in the same commit.
func appendChild(path string) error {
	s, err := storage.Open(path, storage.Options{NewCloudID: func() string { return "crash" }})
	if err != nil {
		return err
	}
	log, counters := receipts(), writers()
	var next atomic.Int64
	var group errgroup.Group
	for w := range 8 {
		group.Go(func() error {
			for n := int64(1); ; n++ {
				i := next.Add(1)
				r, err := log.Record(someReceipt(i))
				if err != nil {
					return err
				}
				put := func(tx *storage.Tx) error { return counters.Put(tx, counter{ID: fmt.Sprint(w), N: n}) }
				if err := s.Commit(context.Background(), put, r); err != nil {
					return err
				}
				if _, err := os.Stdout.WriteString(fmt.Sprintf("%d %d %d\n", i, w, n)); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// TestKillLosesNothingAcknowledged kills a writing process at a random moment, several times over on one file.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	acknowledged := map[string]bool{}
	for round := range 4 {
		child, lines := startChild(t, "append", path)
		last := readUntil(lines, acknowledged, 200+rand.IntN(2000))
		must(t, child.Process.Kill())
		for w, n := range readUntil(lines, acknowledged, 0) {
			last[w] = n
		}
		_ = child.Wait()
		s, err := storage.Open(path, testOptions())
		must(t, err)
		checkSurvivors(t, s, round, acknowledged, last)
		must(t, s.Close())
		clear(acknowledged)
	}
}

// readUntil reads n acknowledgements, or with 0 all that are left, and returns the last count of each writer.
func readUntil(lines *bufio.Scanner, acknowledged map[string]bool, n int) map[string]int64 {
	last := map[string]int64{}
	for i := 0; (n == 0 || i < n) && lines.Scan(); i++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 { // the last line may be cut short
			acknowledged[fields[0]] = true
			last[fields[1]], _ = strconv.ParseInt(fields[2], 10, 64)
		}
	}
	return last
}

func checkSurvivors(t *testing.T, s *storage.Store, round int, acknowledged map[string]bool, last map[string]int64) {
	t.Helper()
	view(t, s, func(tx *storage.Tx) {
		stored := map[string]bool{}
		must(t, receipts().Each(tx, 0, 0, func(e storage.Entry[receipt]) error {
			stored[strings.TrimLeft(e.Value.RequestID, "0")] = true
			return nil
		}))
		for i := range acknowledged {
			if !stored[i] {
				t.Errorf("round %d: record %s was acknowledged and is gone", round, i)
			}
		}
		for w, n := range last {
			got, err := writers().Get(tx, w)
			must(t, err)
			if got.N < n {
				t.Errorf("round %d: writer %s is at %d, acknowledged %d", round, w, got.N, n)
			}
		}
		t.Logf("round %d: %d acknowledged, %d stored in all", round, len(acknowledged), len(stored))
	})
}

// fullChild works against a file size limit, as on a full disk, and checks that the store survives it.
func fullChild(path string) error {
	s, err := storage.Open(path, storage.Options{NewCloudID: func() string { return "full" }})
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	stored, full, err := fillUp(s, limit)
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	fmt.Println(api.CodeOf(full))
	fmt.Println(full)
	after := s.Append(context.Background(), mustRecord(99))
	count := 0
	read := s.View(func(tx *storage.Tx) error {
		return plainReceipts().Each(tx, 0, 0, func(storage.Entry[receipt]) error { count++; return nil })
	})
	fmt.Printf("once there is space again: %v, %v, %d of %d\n", after, read, count-1, stored)
	return s.Close()
}

// fillUp appends under a low limit until the store refuses; its error is the second result.
func fillUp(s *storage.Store, limit syscall.Rlimit) (stored int, full, err error) {
	low := syscall.Rlimit{Cur: 64 << 10, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &low); err != nil {
		return 0, nil, err
	}
	for ; stored < 10_000; stored++ {
		if full := s.Append(context.Background(), mustRecord(int64(stored))); full != nil {
			return stored, full, nil
		}
	}
	return stored, nil, errors.New("the limit was never reached")
}

func mustRecord(i int64) storage.Record {
	r, err := plainReceipts().Record(someReceipt(i))
	if err != nil {
		panic(err)
	}
	return r
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	child, lines := startChild(t, "full", path)
	var got []string
	for lines.Scan() {
		got = append(got, lines.Text())
	}
	must(t, child.Wait())
	text := strings.ReplaceAll(strings.Join(got, "\n"), path, "PATH")
	stored := text[strings.LastIndex(text, " ")+1:]
	want := "unavailable\n" +
		`cannot write "PATH": write PATH: file too large; nothing was changed; free some disk space and try again` + "\n" +
		"once there is space again: <nil>, <nil>, " + stored + " of " + stored
	if text != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
}
