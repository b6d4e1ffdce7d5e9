package labs

import (
	"context"
	"math/big"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nuage/api"
)

const small = `---
title: Small
minutes: 5
level: beginner
tasks:
  - name: make
    check:
      - {look: functions/hello, where: {spec.memoryMb: 128}, save: {code: id}, hint: "It has {spec.memoryMb} MB."}
    hint: Make it.
    solve: nuage function deploy hello
    wrong: [{name: a, do: "true"}, {name: b, do: "true"}, {name: c, do: "true"}]
  - name: count
    needs: [make]
    answer: {look: calls/hello, sum: billedMs, tolerance: 5%, unit: ms, hint: No.}
    hint: Add.
---
Why.

## Make it

` + "```\n## no heading\n```" + `

## Count

How many?

## The end

That was it.
`

func TestParse(t *testing.T) {
	l, err := Parse("small.en.md", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if l.Name != "small" || l.Language != "en" || l.Intro != "Why." || l.Closing != "## The end\n\nThat was it." || len(l.Tasks) != 2 {
		t.Errorf("read as %+v", l)
	}
	if got := l.Tasks[0]; got.Title != "Make it" || got.Text != "```\n## no heading\n```" || got.Check[0].Where["spec.memoryMb"] != "128" {
		t.Errorf("the first task is read as %+v", got)
	}
	for _, test := range []struct{ file, old, new, want string }{
		{"small.md", "", "", "NAME.en.md"},
		{"Small.en.md", "", "", "NAME.en.md"},
		{"small.en.md", "---\ntitle", "title", "does not begin with front matter"},
		{"small.en.md", "minutes: 5", "minuten: 5", `unknown field "minuten"`},
		{"small.en.md", "## Count\n\nHow many?\n\n## The end", "", "it has 2 tasks, and 1 sections"},
		{"small.en.md", "## The end", "## One\n\n## Two", "only one more is for the end"},
		{"small.en.md", "where: {spec.memoryMb: 128}", "where: {spec.memoryMb: [1]}", "wanted a text or a number"},
		{"small.en.md", "save:", "timeout: 2h, save:", "up to 1m"},
	} {
		_, err := Parse(test.file, []byte(strings.Replace(small, test.old, test.new, 1)))
		if api.CodeOf(err) != api.Invalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("with %q in place of %q: %v, wanted %q", test.new, test.old, err, test.want)
		}
	}
}

func TestHolds(t *testing.T) {
	item, err := Plain(map[string]any{"n": 3, "money": "0.000010", "list": []any{map[string]any{"port": 80}, map[string]any{"port": 8080}}, "empty": []string{}, "text": "hello world", "yes": true})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, want string
		holds      bool
	}{
		{"n", "3", true}, {"n", "3.0", true}, {"n", ">= 3", true}, {"n", "> 3", false}, {"n", "< 10", true}, {"n", "<= 2", false}, {"n", "!= 3", false}, {"n", "!= 4", true},
		{"money", "0.00001", true}, {"money", "> 0", true}, {"text", "~ ^hello", true}, {"text", "~ ^world", false}, {"text", "hello world", true}, {"text", "> 3", false},
		{"list.*.port", "8080", true}, {"list.*.port", "81", false}, {"list.1.port", "80", false}, {"list.*.port", "!= 80", false}, {"yes", "true", true},
		{"empty", "absent", true}, {"none.of.it", "absent", true}, {"none", "!= 1", true}, {"none", "1", false}, {"text", "present", true}, {"empty", "present", false},
	} {
		if got := holds(values(item, test.path), test.want); got != test.holds {
			t.Errorf("%s %q: %t", test.path, test.want, got)
		}
	}
	if got := filled(`{n} of {list.*.port}, {saved}, {none}, {"json":1}`, item, map[string]string{"saved": "x"}); got != `3 of 80, 8080, x, , {"json":1}` {
		t.Errorf("filled: %s", got)
	}
}

// fixed is a world in which everything is as it is said here.
type fixed struct {
	items  map[string][]any
	status int
}

func (f fixed) Look(_ context.Context, kind, of string) ([]any, error) {
	items, ok := f.items[kind+"/"+of]
	if !ok {
		return nil, api.Errorf(api.NotFound, "cannot find it")
	}
	return items, nil
}

func (f fixed) Visit(context.Context, Request) (any, error) {
	return Plain(map[string]any{"status": f.status})
}

func (f fixed) Exec(context.Context, string, string, string) (any, error) {
	return nil, api.Errorf(api.Conflict, "cannot run it: it is stopped")
}

func TestExamine(t *testing.T) {
	item := func(v map[string]any) []any {
		p, err := Plain(v)
		if err != nil {
			t.Fatal(err)
		}
		return []any{p}
	}
	world := fixed{status: 503, items: map[string][]any{
		"security-groups/web": item(map[string]any{"rules": []any{map[string]any{"port": 80, "from": "a"}, map[string]any{"port": 81, "from": "b"}}}),
		"calls/f":             append(item(map[string]any{"ms": "1.5", "id": "x"}), item(map[string]any{"ms": "2"})...),
	}}
	e := Examiner{World: world, Outputs: map[string]string{"name": "web"}, Reports: map[string]api.LabReport{"t/1": {ID: "t/1", Exit: 7, Output: "no route\n"}}}
	for _, test := range []struct {
		name  string
		check []Check
		want  Outcome
	}{
		{"nothing there", []Check{{Look: Look{Look: "apps/shop"}, Hint: "no shop"}}, Outcome{Message: "no shop"}},
		{"both of one element", []Check{{Look: Look{Look: "security-groups/{name}", Each: "rules", Where: map[string]Scalar{"port": "80", "from": "b"}}, Hint: "port {port} from {from}"}}, Outcome{Message: "port 80 from a"}},
		{"a count of nothing", []Check{{Look: Look{Look: "security-groups/web", Each: "rules", Where: map[string]Scalar{"port": "22"}, Count: "0"}, Hint: "no"}}, Outcome{OK: true, Saved: map[string]string{}}},
		{"a sum", []Check{{Look: Look{Look: "calls/f", Sum: "ms", Count: ">= 3.5"}, Save: map[string]string{"first": "id"}, Hint: "no"}}, Outcome{OK: true, Saved: map[string]string{"first": "x"}}},
		{"a sum too small", []Check{{Look: Look{Look: "calls/f", Sum: "ms", Count: "> 3.5"}, Hint: "no"}}, Outcome{Message: "no"}},
		{"a visit", []Check{{Look: Look{Visit: "app/shop"}, Hint: "it answers {status}"}}, Outcome{Message: "it answers 503"}},
		{"a machine that is off", []Check{{Look: Look{Exec: "instances/web", Run: "true"}, Hint: "{output}"}}, Outcome{Message: "cannot run it: it is stopped"}},
		{"a command, reported", []Check{{Look: Look{Look: "calls/f"}, Save: map[string]string{"id": "id"}}, {Look: Look{Command: "curl"}, Hint: "curl ended with {exit}: {output}"}}, Outcome{Message: "curl ended with 7: no route"}},
		{"a command to be run", []Check{{Look: Look{Command: "curl"}, Retries: 2}}, Outcome{Command: &api.LabCommand{ID: "t/0", Shell: "curl", Env: map[string]string{"LAB_NAME": "web"}, TimeoutSeconds: 15, Retries: 2}}},
	} {
		got, err := e.Examine(t.Context(), Task{Name: "t", Check: test.check})
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", test.name, err, diff)
		}
	}
	if why, err := e.Broken(t.Context(), []Check{{Look: Look{Visit: "app/shop", Where: map[string]Scalar{"status": ">= 500"}}, Hint: "down with {status}"}}); err != nil || why != "down with 503" {
		t.Errorf("broken: %q, %v", why, err)
	}
}

func TestAnswers(t *testing.T) {
	right := big.NewRat(200, 1)
	for _, test := range []struct {
		tolerance Scalar
		given     string
		ok        bool
	}{
		{"", "200", true}, {"", "200.001", false}, {"5%", "190", true}, {"5%", "189.9", false}, {"0.5", "200,5", true}, {"0.5", "$199.4", false},
	} {
		if ok, err := (Answer{Tolerance: test.tolerance}).Judge(test.given, right); ok != test.ok || err != nil {
			t.Errorf("%s with tolerance %q: %t, %v", test.given, test.tolerance, ok, err)
		}
	}
	for _, word := range []string{"", "many", "1e9", "1/3", "0x10", strings.Repeat("9", 100)} {
		if _, err := (Answer{}).Judge(word, right); api.CodeOf(err) != api.Invalid {
			t.Errorf("%q is taken for a number: %v", word, err)
		}
	}
	if got := Decimal(big.NewRat(1, 8)) + " " + Decimal(big.NewRat(20, 1)); got != "0.125 20" {
		t.Errorf("decimals: %s", got)
	}
}

func TestLint(t *testing.T) {
	french := strings.NewReplacer("It has {spec.memoryMb} MB.", "Elle a {spec.memoryMb} Mo.", "Make it.", "Faites-la.", "name: a,", "name: à,").Replace(small)
	for _, test := range []struct {
		name     string
		old, new string // in the French text
		want     []Finding
	}{
		{"a whole lab", "", "", []Finding{}},
		{"another check", "spec.memoryMb: 128", "spec.memoryMb: 256", []Finding{{File: "small.fr.md", Text: `task "make" differs from task "make" in en by more than its words`}}},
		{"another solution", "deploy hello", "deploy hallo", []Finding{{File: "small.fr.md", Text: `task "make" differs from task "make" in en by more than its words`}}},
		{"other minutes", "minutes: 5", "minutes: 6", []Finding{{File: "small.fr.md", Text: "minutes, level, needs or fail differ from those in en"}}},
		{"no such task before", "needs: [make]", "needs: [made]", []Finding{{File: "small.fr.md", Text: `task "count" needs "made", which is no task above it`},
			{File: "small.fr.md", Text: `task "count" differs from task "count" in en by more than its words`}}},
		{"no such kind", "look: calls/hello", "look: calling/hello", []Finding{
			{File: "small.fr.md", Text: `the answer of task "count" looks at "calling": there are ` + strings.Join(Kinds(), ", ")},
			{File: "small.fr.md", Text: `task "count" differs from task "count" in en by more than its words`}}},
	} {
		folder := fstest.MapFS{"small.en.md": {Data: []byte(small)}, "small.fr.md": {Data: []byte(strings.Replace(french, test.old, test.new, 1))}, "README.md": {Data: []byte("no lab")}}
		got, err := Lint(folder)
		if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", test.name, err, diff)
		}
	}
	got, err := Lint(fstest.MapFS{"small.en.md": {Data: []byte(strings.Replace(small, "{name: b, do: \"true\"}, ", "", 1))}})
	want := []Finding{{File: "small.en.md", Text: "it lists 2 wrong solutions; with three or more its checks are tested", Advice: true}, {File: "small.en.md", Text: "there is no translation small.fr.md", Advice: true}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("advice: %v %s", err, diff)
	}
}

// TestShippedLabs holds that the labs that come with the cloud are whole: both languages, the same tasks, three wrong solutions.
func TestShippedLabs(t *testing.T) {
	found, err := Lint(Shipped())
	if err != nil || len(found) > 0 {
		t.Errorf("%v %+v", err, found)
	}
	all, err := Load(Shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all.Names() {
		if got := all.Languages(name); cmp.Diff(Languages(), got) != "" {
			t.Errorf("lab %s is there in %s", name, got)
		}
	}
}

func TestLoad(t *testing.T) {
	own := strings.NewReplacer("title: Small", "title: Own\nsamples: {code: guestbook/greeting}").Replace(small)
	l, err := Load(fstest.MapFS{"small.en.md": {Data: []byte(small)}}, fstest.MapFS{"small.en.md": {Data: []byte(own)}, "small/data/a.txt": {Data: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	lab, err := l.Get("small", "")
	if err != nil || lab.Title != "Own" || string(lab.Files["data/a.txt"]) != "a" || len(lab.Files["code/greeting.wasm"]) == 0 {
		t.Errorf("the later folder's: %v %q %d files", err, lab.Title, len(lab.Files))
	}
	if _, err := l.Get("small", "fr"); api.CodeOf(err) != api.Invalid {
		t.Errorf("a language that is not there: %v", err)
	}
	if _, err := l.Get("large", ""); api.CodeOf(err) != api.NotFound {
		t.Errorf("a lab that is not there: %v", err)
	}
	if _, err := Load(fstest.MapFS{"bad.en.md": {Data: []byte("no lab")}}); api.CodeOf(err) != api.Invalid {
		t.Errorf("a file that is no lab: %v", err)
	}
	if _, err := Load(fstest.MapFS{"small.en.md": {Data: []byte(strings.Replace(small, "level: beginner", "level: easy", 1))}}); api.CodeOf(err) != api.Invalid {
		t.Errorf("a lab that is wrong: %v", err)
	}
}
