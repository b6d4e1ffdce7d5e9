package controlplane

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nuage/api"
)

// writes says of each method of the cloud that changes something what it is recorded as: "noun verb". Those of data, which are metered and
// have receipts or are the payload itself, are recorded as nothing, and say so.
func writes() map[string]string {
	out := map[string]string{
		"Projects.Create": "project create", "Projects.Update": "project update", "Projects.Delete": "project delete",
		"Users.Create": "user create", "Users.Delete": "user delete", "Tokens.Create": "token create", "Tokens.Revoke": "token revoke",
		"Volumes.Attach": "volume attach", "Volumes.Detach": "volume detach", "Instances.Power": "instance start", "Instances.Reclaim": "instance reclaim-notice",
		"Apps.Rollback": "app rollback", "Apps.Split": "app split", "Apps.Promote": "app promote",
		"Databases.Credentials": "database credentials", "Databases.Rotate": "database rotate",
		"PoolUsers.Add": "auth-pool add-user", "PoolUsers.Remove": "auth-pool remove-user", "PoolUsers.Reset": "auth-pool reset-user",
		"Versions.Publish": "function publish", "Versions.Unpublish": "function unpublish", "Versions.SetAlias": "function alias", "Versions.DeleteAlias": "function delete-alias",
		"Messages.Purge": "queue purge", "Messages.Redrive": "queue redrive", "Streams.Exec": "instance exec", "Ledger.Close": "invoice close", "Ledger.SetRetention": "receipts keep",
		"Clock.Change": "clock advance", "Advisories.Plant": "advisory plant", "System.Shutdown": "cloud shutdown",
		"Functions.Invoke": "", "Messages.Send": "", "Messages.Receive": "", "Messages.Acknowledge": "", "Messages.Extend": "", "Topics.Publish": "", // metered, with receipts
		"Sources.Put": "", "Comparisons.Measure": "", // no work on any layer until something is deployed of it
		"Labs.Start": "", "Labs.Check": "", "Labs.Hint": "", "Labs.Solve": "", "Labs.Change": "", // an exercise: what is done in it is recorded as what it is
	}
	for face, noun := range map[string]string{"Keys": "key", "Networks": "network", "SecurityGroups": "security-group", "Images": "image", "Volumes": "volume", "Snapshots": "snapshot",
		"Instances": "instance", "LoadBalancers": "load-balancer", "InstanceGroups": "instance-group", "Apps": "app", "Databases": "database", "Backups": "backup", "AuthPools": "auth-pool",
		"Functions": "function", "Triggers": "trigger", "Queues": "queue", "Topics": "topic", "Budgets": "budget"} {
		for _, verb := range []string{"Create", "Update", "Delete"} {
			out[face+"."+verb] = noun + " " + strings.ToLower(verb)
		}
	}
	return out
}

// TestEveryMethodReadsOrIsRecorded: nobody can add a method to the cloud without deciding how it is recorded, and on which layer.
func TestEveryMethodReadsOrIsRecorded(t *testing.T) {
	reads := []string{"Get", "List", "Wait", "Metrics", "Releases", "Calls", "Versions", "Aliases", "Logs", "Usage", "Bill", "Prices", "Invoices", "Retention",
		"Compare", "Feed", "Findings", "Runs", "Status", "Backup", "Authenticate"}
	known := writes()
	cloud := reflect.TypeFor[api.Cloud]()
	for i := range cloud.NumField() {
		face := cloud.Field(i)
		for m := range face.Type.NumMethod() {
			name := face.Name + "." + face.Type.Method(m).Name
			if _, ok := known[name]; !ok && !slices.Contains(reads, face.Type.Method(m).Name) {
				t.Errorf("nobody has decided how %s is recorded", name)
			}
			delete(known, name)
		}
	}
	for name := range known {
		t.Errorf("there is no %s", name)
	}
	for name, work := range writes() {
		noun, _, _ := strings.Cut(work, " ")
		if _, ok := nounLayer(noun); work != "" && !ok {
			t.Errorf("%s is recorded of %q, of which nobody has decided the layer", name, noun)
		}
	}
}

// TestEveryRecordedNounHasALayer reads the program for what it records: each noun it names is in the table, and each part of the platform is one of
// those that the field knows.
func TestEveryRecordedNounHasALayer(t *testing.T) {
	parts := []string{"loop", "edge", "builder", "deployer", "scaling", "backup", "rotation", "patcher", "guest", "spot", "auth", "invoker", "budget", "bookkeeping", "bootstrap", "labs"}
	position := map[string]int{"record": 2, "note": 1, "activity": 1} // of the noun
	calls := 0
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch fun := call.Fun.(type) {
			case *ast.SelectorExpr:
				name = fun.Sel.Name
			case *ast.Ident:
				name = fun.Name
			}
			if part, ok := literal(call, 0); ok && name == "platform" && !slices.Contains(parts, part) {
				t.Errorf("platform work is done by %q, which nobody knows", part)
			}
			if at, ok := position[name]; ok {
				if noun, ok := literal(call, at); ok {
					calls++
					if _, known := nounLayer(noun); !known {
						t.Errorf("work is recorded of %q, of which nobody has decided the layer", noun)
					}
				}
			}
			return true
		})
	}
	if calls < 30 {
		t.Errorf("found only %d places that record something", calls)
	}
}

// literal is an argument that is a text.
func literal(call *ast.CallExpr, at int) (string, bool) {
	if at >= len(call.Args) {
		return "", false
	}
	l, ok := call.Args[at].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}
