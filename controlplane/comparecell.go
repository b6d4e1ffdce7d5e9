package controlplane

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"nuage/api"
)

// shared is what both sides do.
const shared = "shared"

func (s subject) cell(layer api.Layer, works []api.Activity) api.ComparisonCell {
	c := api.ComparisonCell{Subject: s.Name, Published: published(layer, s.Model), Recorded: "none"}
	verbs := map[api.ActorKind][]string{}
	for _, a := range works {
		if a.Layer != layer || !s.did(a) {
			continue
		}
		if a.Actor.Kind == api.Customer {
			c.Customer++
		} else {
			c.Platform++
		}
		verbs[a.Actor.Kind] = append(verbs[a.Actor.Kind], a.Noun+" "+a.Verb)
		c.Example = strings.TrimSpace(fmt.Sprintf("%s: %s %s %s %s", a.Actor.Kind, a.Verb, a.Noun, a.Resource, a.Detail))
	}
	switch {
	case c.Customer > 0 && c.Platform > 0:
		c.Recorded = shared
	case c.Customer > 0:
		c.Recorded = string(api.Customer)
	case c.Platform > 0:
		c.Recorded = string(api.Platform)
	}
	explain(&c, verbs)
	return c
}

// explain marks a cell in which practice differs from the published matrix, and says what makes the difference.
func explain(c *api.ComparisonCell, verbs map[api.ActorKind][]string) {
	if c.Published == "" || c.Recorded == "none" || c.Recorded == c.Published {
		return
	}
	c.Differs = true
	switch c.Published {
	case string(api.Customer):
		c.Odd = tallied(verbs[api.Platform])
		c.Why = "the matrix leaves this layer to the customer; here the platform did some of it: " + c.Odd
	case string(api.Platform):
		c.Odd = tallied(verbs[api.Customer])
		c.Why = "the matrix gives this layer to the platform; here the customer did some of it: " + c.Odd
	default:
		c.Why = "the matrix shares this layer; so far only the " + c.Recorded + " had something to do: " + tallied(verbs[api.ActorKind(c.Recorded)])
	}
}

// tallied names pieces of work with their counts, as "app route 2, app drain", the most frequent first.
func tallied(works []string) string {
	count := map[string]int{}
	for _, w := range works {
		count[w]++
	}
	var names []string
	for w := range count {
		names = append(names, w)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(count[b]-count[a], strings.Compare(a, b)) })
	for i, w := range names {
		if count[w] > 1 {
			names[i] = fmt.Sprintf("%s %d", w, count[w])
		}
	}
	return strings.Join(names, ", ")
}

// published is the responsibility matrix that the field publishes: Microsoft's "Shared responsibility in the cloud"
// (January 2026) for the rows and columns it has, with NIST SP 800-145 for virtualization; the column faas and the rows
// scaling and runtime are a synthesis of ours, as Microsoft lists functions under PaaS. A project is of no model.
func published(layer api.Layer, model string) string {
	column, ok := map[string]int{"iaas": 0, "paas": 1, "faas": 2}[model]
	if !ok {
		return ""
	}
	rows := map[api.Layer]string{
		api.LayerData: "CCC", api.LayerConfiguration: "CCC", api.LayerIdentities: "CCC", api.LayerClientDevices: "CCC",
		api.LayerApplication: "CSC", api.LayerScaling: "CSP", api.LayerRuntime: "CPP", api.LayerOperatingSystem: "CPP",
		api.LayerNetworkControls: "CSP", api.LayerVirtualization: "PPP", api.LayerPhysical: "PPP",
	}
	switch rows[layer][column] {
	case 'C':
		return string(api.Customer)
	case 'S':
		return shared
	}
	return string(api.Platform)
}
