package main

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

const crowd, cycles = 50, 100

// checkClean fails while there is more than there was before.
func (c *liveCloud) checkClean(t *testing.T, before string) {
	t.Helper()
	eventually(t, 30*time.Second, "nothing is left behind", func() error {
		if after := c.everything(t); after != before {
			return fmt.Errorf("there was\n%s\nand is\n%s", before, after)
		}
		return nil
	})
}

// testCrowd makes 50 machines at once; SSH answers on all of them.
func testCrowd(t *testing.T, c *liveCloud) {
	var names []string
	for n := range crowd {
		names = append(names, fmt.Sprintf("crowd-%d", n))
	}
	begun := time.Now()
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			a, err := c.call("POST", "/v1/projects/default/instances", `{"name":"`+name+`","spec":{"image":"tiny","type":"nano","key":"default"}}`, "Content-Type: application/json")
			if err != nil || a.status != 201 {
				t.Errorf("%s: %d %s, %v", name, a.status, a.body, err)
			}
		})
	}
	all.Wait()
	for _, name := range names {
		eventually(t, 90*time.Second, name+" runs", c.running(name, 0))
	}
	t.Logf("%d machines run after %s", crowd, time.Since(begun).Round(10*time.Millisecond))
	for name, i := range c.known(t) {
		if !strings.HasPrefix(name, "crowd-") {
			continue
		}
		all.Go(func() {
			if banner, err := banner(i.Status.Address + ":22"); err != nil || !strings.HasPrefix(banner, "SSH-2.0-") {
				t.Errorf("%s says %q, %v", name, banner, err)
			}
		})
	}
	all.Wait()
	c.do(t, append([]string{"instance", "delete", "--no-wait"}, names...)...)
}

// banner is the first line that a server sends.
func banner(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

// testCycles makes and deletes machines again and again, with a volume now and then, under few names.
func testCycles(t *testing.T, c *liveCloud) {
	const lanes = 4
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			name := fmt.Sprintf("lane-%d", lane)
			for n := range cycles / lanes {
				line := []string{"instance", "create", name, "--image", "tiny", "--type", "nano"}
				if n%5 == 0 {
					c.cycleStep(t, "volume", "create", name, "--size", "1MiB")
					line = append(line, "--volume", name+":/data")
				}
				c.cycleStep(t, line...)
				c.cycleStep(t, "instance", "delete", name)
				if n%5 == 0 {
					c.cycleStep(t, "volume", "delete", name)
				}
			}
		})
	}
	all.Wait()
}

func (c *liveCloud) cycleStep(t *testing.T, line ...string) {
	if o := c.try(line...); o.status != 0 {
		t.Error(o)
	}
}

// everything is what the engine and the state have of the cloud, but for what is written down for good and for helpers
// that the cloud keeps for itself.
func (c *liveCloud) everything(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	list := func(words ...string) []string {
		return strings.Fields(dockerCLI(t, append(words, "--quiet", "--filter", "label=nuage.cloud="+c.id)...))
	}
	fmt.Fprintf(&all, "containers: %d\nvolumes: %d\n", len(list("ps", "--all", "--filter", "label=nuage.kind=instance")), len(list("volume", "ls")))
	fmt.Fprintf(&all, "images: %d\n", len(list("image", "ls", "--filter", "label=nuage.owner")))
	for _, id := range list("network", "ls") {
		fmt.Fprintln(&all, "in a network:", dockerCLI(t, "network", "inspect", "--format", "{{len .Containers}}", id))
	}
	records := c.records(t)
	for _, table := range []string{"instances", "machines", "tracks", "runs", "cursors", "networks", "volumes", "snapshots", "disks", "load-balancers", "instance-groups"} {
		fmt.Fprintf(&all, "%s: %d\n", table, records[table])
	}
	return all.String()
}

// records counts what a backup of the state has in each table.
func (c *liveCloud) records(t *testing.T) map[string]int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.db")
	c.do(t, "backup", file)
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := map[string]int{}
	err = db.View(func(tx *bbolt.Tx) error {
		tables := tx.Bucket([]byte("tables"))
		return tables.ForEachBucket(func(name []byte) error {
			if records := tables.Bucket(name).Bucket([]byte("records")); records != nil {
				found[string(name)] = records.Stats().KeyN
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
