package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// testGroup takes an instance group through load, a failure and another template.
func testGroup(t *testing.T, c *liveCloud) {
	c.do(t, "instance-group", "create", "fleet", "--min", "2", "--max", "3", "--cpu", "20", "--cooldown", "1s", "--image", "server", "--type", "nano",
		"--security-group", "open", "--health", "/ready", "--health-port", "8080", "--health-interval", "1s")
	c.members(t, "it begins with two members", 2)
	t.Run("load", func(t *testing.T) { testGroupGrows(t, c) })
	t.Run("failure", func(t *testing.T) { testMemberFails(t, c) })
	t.Run("template", func(t *testing.T) { testGroupRolls(t, c) })
	c.do(t, "instance-group", "delete", "fleet")
	if left := c.do(t, "instance", "list", "-o", "name"); strings.Contains(left, "fleet-") {
		t.Errorf("of the deleted group %q are left", left)
	}
}

// members waits until a group has so many, all healthy and of the present template, and returns them.
func (c *liveCloud) members(t *testing.T, what string, want int) []string {
	t.Helper()
	var names []string
	eventually(t, 90*time.Second, what, func() error {
		var g api.InstanceGroup
		if err := c.read("/v1/projects/default/instance-groups/fleet", &g); err != nil {
			return err
		}
		names = nil
		for _, m := range g.Status.Members {
			if m.Health == "healthy" && m.Current {
				names = append(names, m.Instance)
			}
		}
		if len(names) != want || len(g.Status.Members) != want || g.Status.Desired != want {
			return fmt.Errorf("%s (%s), cpu %.0f%%, desired %d: %+v", g.Status.Phase, g.Status.Reason, g.Status.CPUPercent, g.Status.Desired, g.Status.Members)
		}
		return nil
	})
	return names
}

// decided fails unless the activities say why the group did something.
func (c *liveCloud) decided(t *testing.T, verb, reason string) {
	t.Helper()
	var list api.List[api.Activity]
	c.decode(t, &list, "activity", "list", "--resource", "fleet", "-o", "json")
	if !slices.ContainsFunc(list.Items, func(a api.Activity) bool { return a.Verb == verb && strings.Contains(a.Detail, reason) }) {
		t.Errorf("no activity %q says %q, there are %+v", verb, reason, list.Items)
	}
}

// testMemberFails: a member that answers no longer is replaced by another one.
func testMemberFails(t *testing.T, c *liveCloud) {
	before := c.members(t, "there are two members", 2)
	_, _ = request("GET", "http://"+c.address(t, before[0])+":8080/end", "") // its server ends before it answers
	eventually(t, 60*time.Second, "the silent member is gone", func() error {
		if strings.Contains(c.do(t, "instance", "list", "-o", "name"), before[0]) {
			return errors.New("it is there")
		}
		return nil
	})
	after := c.members(t, "it is replaced", 2)
	if slices.Contains(after, before[0]) || !slices.Contains(after, before[1]) {
		t.Errorf("the members were %v and are %v", before, after)
	}
	c.decided(t, "retire", before[0]+": it is replaced: ")
}

// testGroupGrows uses the processors of all members. On a busy machine they get far less than their type allows, so the aim is low.
func testGroupGrows(t *testing.T, c *liveCloud) {
	for _, name := range c.members(t, "there are two members", 2) {
		if a, err := request("GET", "http://"+c.address(t, name)+":8080/burn", ""); err != nil || a.status != 200 {
			t.Fatalf("%s answers %d, %v", name, a.status, err)
		}
	}
	c.members(t, "it grows under load", 3)
	c.decided(t, "scale", "over 20% for 60 s: 2 to 3")
	c.do(t, "instance-group", "update", "fleet", "--cpu", "0", "--no-wait")
	c.members(t, "without a target it shrinks", 2)
	c.decided(t, "scale", "without a target for cpu min is kept: 3 to 2")
}

// testGroupRolls changes the template: one after the other the members are replaced, and others serve meanwhile.
func testGroupRolls(t *testing.T, c *liveCloud) {
	var before api.InstanceGroup
	c.decode(t, &before, "instance-group", "show", "fleet", "-o", "json")
	c.do(t, "instance-group", "update", "fleet", "--tag", "year=2", "--no-wait")
	eventually(t, 90*time.Second, "all members are of the new template", func() error {
		var g api.InstanceGroup
		if err := c.read("/v1/projects/default/instance-groups/fleet", &g); err != nil {
			return err
		}
		healthy, current := 0, 0
		for _, m := range g.Status.Members {
			if m.Health == "healthy" {
				healthy++
			}
			if m.Current && m.Health == "healthy" {
				current++
			}
		}
		if healthy == 0 {
			return fatal{fmt.Errorf("no member serves: %+v", g.Status.Members)}
		}
		if current < 2 || current < len(g.Status.Members) || !api.Settled(g.Meta, g.Status.Status) {
			return fmt.Errorf("%s (%s): %+v", g.Status.Phase, g.Status.Reason, g.Status.Members)
		}
		return nil
	})
	for _, m := range before.Status.Members {
		if strings.Contains(c.do(t, "instance", "list", "-o", "name"), m.Instance) {
			t.Errorf("%s of the former template is there", m.Instance)
		}
	}
	c.decided(t, "retire", "it is made from an earlier template")
}
