package metadata

import (
	"encoding/json"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/compute/guest/link"
)

// versions are names of the one version there is; any other date of that form is one too.
const versions = "1.0\n2007-01-19\n2009-04-04\n2012-01-12\n2016-09-02\n2019-10-01\n2021-07-15\n2022-09-24\n2024-04-11\nlatest"

var dated = regexp.MustCompile(`^(latest|1\.0|\d{4}-\d\d-\d\d)$`)

// node is a directory, or a leaf with a text.
type node struct {
	text    string
	entries map[string]node // nil: a leaf
	listing string          // "": the entries' names, a directory's with a slash
}

func leaf(text string) node { return node{text: text} }

// lookup returns what a path holds: a text, or the listing of a directory.
func lookup(c link.Config, path string) (string, bool) {
	path = strings.TrimLeft(path, "/")
	if path == "" {
		return versions, true
	}
	version, rest, _ := strings.Cut(path, "/")
	if !dated.MatchString(version) {
		return "", false
	}
	return root(c).find(strings.TrimLeft(rest, "/"))
}

// find walks down. The name of a tag may hold slashes, so what is left as a whole comes first.
func (n node) find(path string) (string, bool) {
	if path == "" {
		return n.show(), true
	}
	if found, ok := n.entries[path]; ok {
		return found.show(), true
	}
	name, rest, deeper := strings.Cut(path, "/")
	next, ok := n.entries[name]
	if !ok || !deeper || next.entries == nil {
		return "", false
	}
	return next.find(strings.TrimLeft(rest, "/"))
}

func (n node) show() string {
	if n.entries == nil {
		return n.text
	}
	if n.listing != "" {
		return n.listing
	}
	names := slices.Sorted(maps.Keys(n.entries))
	for i, name := range names {
		if n.entries[name].entries != nil {
			names[i] += "/"
		}
	}
	return strings.Join(names, "\n")
}

func root(c link.Config) node {
	top := map[string]node{
		"meta-data": {entries: instance(c)},
		"dynamic":   {entries: map[string]node{"instance-identity": {entries: map[string]node{"document": leaf(identity(c))}}}},
	}
	if c.UserData != "" {
		top["user-data"] = leaf(c.UserData)
	}
	return node{entries: top, listing: strings.Join(slices.Sorted(maps.Keys(top)), "\n")} // here EC2 has no slashes
}

func instance(c link.Config) map[string]node {
	m := c.Metadata
	entries := map[string]node{
		"ami-id": leaf(m.Image), "instance-id": leaf(c.InstanceID), "instance-type": leaf(m.Type), "instance-life-cycle": leaf("on-demand"),
		"hostname": leaf(c.Hostname), "local-hostname": leaf(c.Hostname), "local-ipv4": leaf(m.Address),
		"security-groups": leaf(strings.Join(m.SecurityGroups, "\n")),
		"placement":       {entries: map[string]node{"availability-zone": leaf(m.Zone), "region": leaf(m.Region)}},
	}
	if m.Spot {
		entries["instance-life-cycle"] = leaf("spot")
	}
	if m.PublicAddress != "" {
		entries["public-ipv4"] = leaf(m.PublicAddress)
	}
	if len(c.AuthorizedKeys) > 0 {
		entries["public-keys"] = keys(c.AuthorizedKeys)
	}
	if len(m.Tags) > 0 {
		entries["tags"] = node{entries: map[string]node{"instance": tags(m.Tags)}}
	}
	if m.Reclaim != nil {
		entries["spot"] = notice(*m.Reclaim)
	}
	return entries
}

// keys are listed by number and name, and found by number.
func keys(all []link.Key) node {
	n := node{entries: map[string]node{}}
	for i, k := range all {
		number := strconv.Itoa(i)
		n.entries[number] = node{entries: map[string]node{"openssh-key": leaf(strings.TrimSpace(k.Line) + "\n")}}
		n.listing += number + "=" + k.Name + "\n"
	}
	n.listing = strings.TrimSuffix(n.listing, "\n")
	return n
}

func tags(all map[string]string) node {
	n := node{entries: map[string]node{}}
	for key, value := range all {
		n.entries[key] = leaf(value)
	}
	return n
}

// notice says when a spot instance is taken away.
func notice(at time.Time) node {
	when := at.UTC().Format("2006-01-02T15:04:05Z")
	return node{entries: map[string]node{
		"instance-action":  leaf(`{"action":"terminate","time":"` + when + `"}`),
		"termination-time": leaf(when),
	}}
}

// document is the identity document; of EC2's fields, those that mean something here.
type document struct {
	Account      string `json:"accountId"`
	Architecture string `json:"architecture"`
	Zone         string `json:"availabilityZone"`
	Image        string `json:"imageId"`
	Instance     string `json:"instanceId"`
	Type         string `json:"instanceType"`
	Address      string `json:"privateIp"`
	Region       string `json:"region"`
	Version      string `json:"version"`
}

func identity(c link.Config) string {
	m := c.Metadata
	d := document{m.Project, architecture(runtime.GOARCH), m.Zone, m.Image, c.InstanceID, m.Type, m.Address, m.Region, "2017-09-30"}
	b, _ := json.MarshalIndent(d, "", "  ") // strings always encode
	return string(b)
}

// architecture is EC2's word for Go's.
func architecture(arch string) string {
	if arch == "amd64" {
		return "x86_64"
	}
	return arch
}
