package main

import (
	"testing"
	"time"

	"nuage/api"
)

func TestListReadsAllPages(t *testing.T) {
	w := newWorld(t, "")
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		w.run("key", "import", name, "-", "--no-wait")
	}
	w.check(t, "a\nb\nc\nd\ne\n", "key", "list", "-o", "name")
}

func TestListForMachinesIsTheAPIsList(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, "{\n  \"items\": [],\n  \"next\": \"\"\n}\n", "app", "list", "-o", "json")
	w.check(t, "items: []\nnext: \"\"\n", "app", "list", "-o", "yaml")
	w.check(t, "NAME   PHASE   RELEASE   REPLICAS   URL   AGE   REASON\n", "app", "list")
}

func TestCreateShowsEachPhaseOnceAndWaits(t *testing.T) {
	w := newWorld(t, "")
	booting := func(d *api.Database) { d.Status.Reason = "booting" }
	w.databases.steps = []func(*api.Database){booting, booting}
	w.check(t, `NAME     PHASE     ENGINE     SIZE    ADDRESS   DATA   AGE   REASON
orders   running   postgres   micro             0 B    3s
! database "orders" pending: booting
! database "orders" running
`, "database", "create", "orders")
}

func TestNoWaitAnswersAtOnce(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, "orders\n", "database", "create", "orders", "--no-wait", "-o", "name")
	if got := w.databases.items["orders"].Status.Phase; got != api.Pending {
		t.Errorf("phase %s, want pending: somebody waited", got)
	}
}

func TestFailedPhaseExitsWithItsReason(t *testing.T) {
	w := newWorld(t, "")
	w.databases.steps = []func(*api.Database){func(d *api.Database) {
		d.Status.Phase, d.Status.Reason, d.Status.Generation = api.Failed, "no disk", 1
	}}
	w.check(t, `! database "orders" failed: no disk
! nuage: cannot get database "orders" going: no disk; see nuage database show orders
exit 1
`, "database", "create", "orders")
}

func TestDeleteWaitsUntilItIsGone(t *testing.T) {
	w := newWorld(t, "")
	w.run("database", "create", "one")
	w.run("database", "create", "two")
	w.check(t, `deleted database one
deleted database two
! database "one" deleting
! database "two" deleting
! nuage: cannot find "three"
exit 1
`, "database", "delete", "one", "two", "three")
	if len(w.databases.items) != 0 {
		t.Errorf("%d databases are left", len(w.databases.items))
	}
}

func TestUpdateTriesAgainAfterAConflict(t *testing.T) {
	w := newWorld(t, "")
	w.run("security-group", "create", "web")
	w.groups.conflict = 3
	w.check(t, "web\n", "security-group", "allow", "web", "--port", "80", "-o", "name")
	w.groups.conflict = 100
	w.check(t, "! nuage: cannot update \"web\": it was changed meanwhile\nexit 1\n", "security-group", "allow", "web", "--port", "81")
}

func TestWaitEndsAfterItsLimit(t *testing.T) {
	w := newWorld(t, "")
	for range int(waitLimit/time.Second) + 10 {
		w.databases.steps = append(w.databases.steps, func(*api.Database) {})
	}
	w.check(t, `! database "orders" pending
! nuage: cannot wait for database "orders" any longer: 10m0s have passed; the work goes on, see nuage database show orders
exit 1
`, "database", "create", "orders")
}

func TestShowListsWhatThereIsToSay(t *testing.T) {
	w := newWorld(t, "")
	w.run("database", "create", "orders")
	w.databases.items["orders"].Status.Host = "127.0.0.1"
	w.databases.items["orders"].Status.Port = 5555
	w.check(t, `name         orders
phase        running
engine       postgres
size         micro
address      127.0.0.1:5555
data         0 B
storage      1 GiB
backups      when asked for
restorable   backups only
rotation     none under way
restarts     0
age          1s
id           x-0000000000000001
project      default
created      2026-01-02 03:04:05
`, "database", "show", "orders")
}
