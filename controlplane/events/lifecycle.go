package events

import (
	"slices"
	"strings"

	"nuage/api"
)

// lifecycle says which activities are events, by noun and verb. Types are without their prefix.
func lifecycle() map[string]string {
	return map[string]string{
		"app create": "app.created", "app route": "app.deployed", "app deploy-failed": "app.failed", "app scale": "app.scaled",
		"app restart": "app.restarted", "app rollback": "app.rolledback", "app delete": "app.deleted",
		"database create": "database.created", "database restart": "database.restarted", "database restore": "database.restored",
		"database recreate": "database.restarted", "database delete": "database.deleted", "backup verify": "backup.done", "backup delete": "backup.deleted",
		"instance create": "instance.created", "instance restart": "instance.restarted", "instance recreate": "instance.restarted",
		"instance reclaim-notice": "instance.reclaiming", "instance delete": "instance.deleted",
		"budget alert":    "budget.alert",
		"function create": "function.deployed", "function deploy": "function.deployed", "function delete": "function.deleted",
	}
}

// typePrefix begins the types of the cloud's own events.
const typePrefix = "nuage."

// LifecycleTypes are the types of events of the life of things, without their prefix nuage., in order.
func LifecycleTypes() []string {
	var all []string
	for _, t := range lifecycle() {
		all = append(all, t)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Lifecycle is the event that an activity is. false: it is none.
func Lifecycle(a api.Activity) (api.CloudEvent, bool) {
	kind, ok := lifecycle()[a.Noun+" "+a.Verb]
	if !ok {
		return api.CloudEvent{}, false
	}
	return api.CloudEvent{ID: a.ID, Source: "/projects/" + a.Project + "/" + a.Noun + "s/" + a.Resource, Type: typePrefix + kind,
		Subject: a.Noun + "/" + a.Resource, Time: a.Time, DataContentType: "application/json", Data: encode(a)}, true
}

// CheckPattern refuses a pattern that matches no event of the life of things: a type as app.deployed, app.* or *.
func CheckPattern(pattern string) error {
	if !slices.ContainsFunc(LifecycleTypes(), func(t string) bool { return matchType(pattern, t) }) {
		return api.Errorf(api.Invalid, "cannot wait for events %q: there are %s, and app.* or * for all", pattern, strings.Join(LifecycleTypes(), ", "))
	}
	return nil
}

// MatchesType tells whether one of the patterns is for an event's type.
func MatchesType(patterns []string, eventType string) bool {
	kind := strings.TrimPrefix(eventType, typePrefix)
	return slices.ContainsFunc(patterns, func(p string) bool { return matchType(p, kind) })
}

func matchType(pattern, kind string) bool {
	if head, ok := strings.CutSuffix(pattern, "*"); ok {
		return (head == "" || strings.HasSuffix(head, ".")) && strings.HasPrefix(kind, head)
	}
	return pattern == kind
}
