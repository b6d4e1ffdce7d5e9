package labs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Finding is something that is wrong with a lab, or, as advice, could be better.
type Finding struct {
	File   string `json:"file"`
	Text   string `json:"text"`
	Advice bool   `json:"advice,omitempty"`
}

// Languages are those in which each lab should be there.
func Languages() []string { return []string{"en", "fr"} }

// Lint finds what is wrong with the labs of a folder. Unavailable: it can't be read.
func Lint(folder fs.FS) ([]Finding, error) {
	found, err := readAll(folder)
	if err != nil {
		return nil, err
	}
	out := []Finding{}
	for _, f := range found {
		if f.err != nil {
			out = append(out, Finding{File: f.file, Text: f.err.Error()})
		}
	}
	out = append(out, Judge(byName(found))...)
	if len(found) == 0 {
		out = append(out, Finding{File: ".", Text: "there is no lab: a lab is a file NAME.en.md"})
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return strings.Compare(a.File, b.File) })
	return out, nil
}

// Judge finds what is wrong with labs that could be read, by name and language.
func Judge(labs map[string]map[string]Lab) []Finding {
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(labs)) {
		texts := labs[name]
		languages := slices.Sorted(maps.Keys(texts))
		for _, language := range languages {
			c := critic{file: name + "." + language + ".md"}
			c.lab(texts[language])
			if other := texts[languages[0]]; language != languages[0] {
				c.sameAs(other, texts[language])
			}
			out = append(out, c.found...)
		}
		for _, language := range Languages() {
			if _, ok := texts[language]; !ok {
				out = append(out, Finding{File: name + "." + languages[0] + ".md", Advice: true, Text: fmt.Sprintf("there is no translation %s.%s.md", name, language)})
			}
		}
	}
	return out
}

// critic collects what is wrong with one file.
type critic struct {
	file  string
	found []Finding
	saved map[string]bool // names that checks have saved so far
}

func (c *critic) wrong(format string, args ...any) {
	c.found = append(c.found, Finding{File: c.file, Text: fmt.Sprintf(format, args...)})
}

func (c *critic) advise(format string, args ...any) {
	c.found = append(c.found, Finding{File: c.file, Text: fmt.Sprintf(format, args...), Advice: true})
}

func (c *critic) lab(l Lab) {
	c.saved = map[string]bool{}
	if l.Title == "" || l.Intro == "" {
		c.wrong("it needs a title, and a text before its first section")
	}
	if l.Minutes < 1 || l.Minutes > 240 {
		c.wrong("minutes is %d: wanted 1 to 240", l.Minutes)
	}
	if !slices.Contains([]string{"beginner", "intermediate", "advanced"}, l.Level) {
		c.wrong("level is %q: wanted beginner, intermediate or advanced", l.Level)
	}
	if len(l.Tasks) == 0 {
		c.wrong("it has no tasks")
	}
	c.invariants("the lab", l.Fail)
	before, mutants := map[string]bool{}, 0
	for _, t := range l.Tasks {
		c.task(t, before)
		before[t.Name] = true
		mutants += len(t.Wrong)
	}
	if mutants < 3 {
		c.advise("it lists %d wrong solutions; with three or more its checks are tested", mutants)
	}
}

var plainName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,29}$`)

func (c *critic) task(t Task, before map[string]bool) {
	if !plainName.MatchString(t.Name) {
		c.wrong("a task is called %q: wanted a name of a-z, 0-9 and -", t.Name)
	}
	if before[t.Name] {
		c.wrong("two tasks are called %q", t.Name)
	}
	for _, n := range t.Needs {
		if !before[n] {
			c.wrong("task %q needs %q, which is no task above it", t.Name, n)
		}
	}
	if t.Title == "" || t.Text == "" {
		c.wrong("task %q has no text", t.Name)
	}
	if t.Hint == "" {
		c.wrong("task %q has no hint", t.Name)
	}
	c.way(t)
	for i, check := range t.Check {
		c.check(fmt.Sprintf("check %d of task %q", i+1, t.Name), check)
	}
	c.invariants("task "+t.Name, t.Fail)
	for _, w := range t.Wrong {
		c.mutant(t, w)
	}
}

// way looks whether a task can be done and checked.
func (c *critic) way(t Task) {
	switch {
	case t.Answer != nil && (len(t.Check) > 0 || t.Solve != ""):
		c.wrong("task %q is a question, so it has neither check nor solve", t.Name)
	case t.Answer != nil:
		c.look(fmt.Sprintf("the answer of task %q", t.Name), t.Answer.Look)
		if t.Answer.Look.Command != "" {
			c.wrong("the answer of task %q is a command: it has to be computed from the cloud", t.Name)
		}
	case len(t.Check) == 0:
		c.wrong("task %q has no check", t.Name)
	case t.Solve == "":
		c.wrong("task %q has no solve: nobody could test it", t.Name)
	}
}

func (c *critic) invariants(where string, fail []Check) {
	for _, f := range fail {
		c.check("an invariant of "+where, f)
		if f.Command != "" {
			c.wrong("an invariant of %s is a command: the cloud watches over it by itself", where)
		}
	}
}

func (c *critic) mutant(t Task, w Wrong) {
	switch {
	case w.Name == "":
		c.wrong("a wrong solution of task %q has no name", t.Name)
	case t.Answer != nil && w.Answer == "":
		c.wrong("wrong solution %q of task %q gives no answer", w.Name, t.Name)
	case t.Answer == nil && w.Do == "":
		c.wrong("wrong solution %q of task %q does nothing", w.Name, t.Name)
	}
}

func (c *critic) check(where string, k Check) {
	c.look(where, k.Look)
	if k.Hint == "" {
		c.wrong("%s has no hint", where)
	}
	if k.Retries < 0 || k.Retries > 60 {
		c.wrong("%s is tried again %d times: 60 are the most", where, k.Retries)
	}
	for name := range k.Save {
		if !plainName.MatchString(name) || c.saved[name] || strings.Contains(name, "-") {
			c.wrong("%s saves %q: wanted a name of its own, of a-z and 0-9", where, name)
		}
		c.saved[name] = true
	}
}

func (c *critic) look(where string, l Look) {
	kinds := 0
	for _, s := range []string{l.Look, l.Visit, l.Exec, l.Command} {
		if s != "" {
			kinds++
		}
	}
	if kinds != 1 {
		c.wrong("%s has %d of look, visit, exec and command: wanted one", where, kinds)
	}
	kind, name, named := strings.Cut(l.Look+l.Visit+l.Exec, "/")
	switch {
	case l.Look != "" && !slices.Contains(Kinds(), kind):
		c.wrong("%s looks at %q: there are %s", where, kind, strings.Join(Kinds(), ", "))
	case l.Visit != "" && (name == "" || kind != "app" && kind != "function" && kind != "auth"):
		c.wrong("%s visits %q: wanted app/NAME, function/NAME or auth/POOL", where, l.Visit)
	case l.Exec != "" && (!named || l.Run == "" || kind != "instances" && kind != "databases"):
		c.wrong("%s runs something in %q: wanted instances/NAME or databases/NAME, and run", where, l.Exec)
	}
	for path, want := range l.Where {
		if pattern, ok := strings.CutPrefix(string(want), "~ "); ok {
			if _, err := regexp.Compile(pattern); err != nil {
				c.wrong("%s wants %s: %v", where, path, err)
			}
		}
	}
}

// Kinds are what a check can look at: the nouns of a project, and what is known of them.
func Kinds() []string {
	return []string{"instances", "images", "volumes", "snapshots", "networks", "load-balancers", "instance-groups", "keys", "security-groups", "apps", "databases",
		"backups", "auth-pools", "functions", "triggers", "queues", "topics", "messages", "findings", "activities", "bill", "calls", "comparison", "measures", "pool-users", "releases", "prices", "break-even"}
}

// sameAs looks for tasks that differ from those of another language in anything but words.
func (c *critic) sameAs(other, l Lab) {
	if l.Minutes != other.Minutes || l.Level != other.Level || !slices.Equal(l.Needs, other.Needs) || !sameMachinery(l.Fail, other.Fail) {
		c.wrong("minutes, level, needs or fail differ from those in %s", other.Language)
	}
	if len(l.Tasks) != len(other.Tasks) {
		c.wrong("it has %d tasks, and %d in %s", len(l.Tasks), len(other.Tasks), other.Language)
		return
	}
	for i, t := range l.Tasks {
		if !sameMachinery(t, other.Tasks[i]) {
			c.wrong("task %q differs from task %q in %s by more than its words", t.Name, other.Tasks[i].Name, other.Language)
		}
	}
}

// sameMachinery tells whether two things are the same without their words.
func sameMachinery(a, b any) bool { return machinery(a) == machinery(b) }

// machinery is the JSON of something without its words.
func machinery(v any) string {
	plain, err := Plain(v)
	if err != nil {
		return err.Error()
	}
	data, err := json.Marshal(wordless(plain))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func wordless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, words := range []string{"hint", "says", "unit"} {
			if _, ok := v[words]; ok {
				v[words] = ""
			}
		}
		if _, ok := v["do"]; ok {
			v["name"] = ""
		}
		if _, ok := v["wrong"]; ok {
			for _, w := range v["wrong"].([]any) {
				w.(map[string]any)["name"] = ""
			}
		}
		for k := range v {
			v[k] = wordless(v[k])
		}
	case []any:
		for i := range v {
			v[i] = wordless(v[i])
		}
	}
	return v
}
