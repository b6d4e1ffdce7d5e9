package labs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"nuage/api"
)

// Lab is one lab in one language, as its file says it.
type Lab struct {
	Name     string `json:"-"` // the file's, without language and ending
	Language string `json:"-"`
	Intro    string `json:"-"`
	Closing  string `json:"-"`

	Title   string            `json:"title"`
	Minutes int               `json:"minutes"`
	Level   string            `json:"level"`             // beginner, intermediate, advanced
	Needs   []string          `json:"needs,omitempty"`   // engine, or programs on the laptop
	Samples map[string]string `json:"samples,omitempty"` // folder: sample program that is copied there, as guestbook/app
	Fail    []Check           `json:"fail,omitempty"`    // invariants of the whole lab: it has failed where one of them holds
	Tasks   []Task            `json:"tasks"`

	Files map[string][]byte `json:"-"` // of the folder with the lab's name, and of samples
}

// Task is a step: its text is a section of the body.
type Task struct {
	Title string `json:"-"`
	Text  string `json:"-"`

	Name   string   `json:"name"`
	Needs  []string `json:"needs,omitempty"`  // tasks above it
	Check  []Check  `json:"check,omitempty"`  // all have to hold, in this order
	Answer *Answer  `json:"answer,omitempty"` // the task is a question
	Hint   string   `json:"hint"`             // what to do
	Fail   []Check  `json:"fail,omitempty"`   // invariants while the task is open
	Solve  string   `json:"solve,omitempty"`  // script for sh
	Wrong  []Wrong  `json:"wrong,omitempty"`
}

// Wrong is a wrong solution, which the task's check has to refuse.
type Wrong struct {
	Name   string `json:"name"`
	Do     string `json:"do,omitempty"`
	Answer Scalar `json:"answer,omitempty"`
	Says   string `json:"says,omitempty"` // part of what the check then says
	Undo   string `json:"undo,omitempty"`
	Fails  bool   `json:"fails,omitempty"` // an invariant is broken by it
}

// Look says what to look at. Exactly one of its first four is set.
type Look struct {
	Look    string `json:"look,omitempty"`    // kind or kind/name: instances, instances/web, activities, calls/hello, ...
	Visit   string `json:"visit,omitempty"`   // app/shop or function/hello: a request through the edge
	Exec    string `json:"exec,omitempty"`    // instances/web or databases/orders: Run is run there
	Command string `json:"command,omitempty"` // line for sh on the student's laptop

	Method string `json:"method,omitempty"` // of a visit; GET
	Path   string `json:"path,omitempty"`   // of a visit; /
	Body   string `json:"body,omitempty"`   // of a visit
	Run    string `json:"run,omitempty"`    // of an exec: line for sh, or a statement for a database

	Each  string            `json:"each,omitempty"`  // path of lists whose elements count in place of what they are in
	Where map[string]Scalar `json:"where,omitempty"` // path: what it has to be
	Count Scalar            `json:"count,omitempty"` // how many there have to be; >= 1
	Sum   string            `json:"sum,omitempty"`   // path of numbers, the sum of which Count is about
}

// Check is a typed assertion on the state of the cloud, or on what a command comes to.
type Check struct {
	Look
	Timeout Duration          `json:"timeout,omitempty"` // of one try; 15s
	Retries int               `json:"retries,omitempty"` // tries after one that does not hold, half a second apart
	Save    map[string]string `json:"save,omitempty"`    // name: path of what was found, for later checks as {name}, for scripts as LAB_NAME
	Hint    string            `json:"hint"`              // what is missing; {path} is what was found there
}

// Answer is what a question asks for, computed from the cloud.
type Answer struct {
	Look
	Value     string `json:"value,omitempty"`     // path of the number in what is found first; else Count's number or Sum
	Times     Scalar `json:"times,omitempty"`     // factor; 1
	Tolerance Scalar `json:"tolerance,omitempty"` // 5% or a number; 0
	Unit      string `json:"unit,omitempty"`
	Hint      string `json:"hint,omitempty"` // said of a wrong answer
}

// Scalar is a text, number or truth value in YAML, as text.
type Scalar string

// UnmarshalJSON takes any of them.
func (s *Scalar) UnmarshalJSON(data []byte) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		*s = Scalar(v)
	case json.Number, bool:
		*s = Scalar(fmt.Sprint(v))
	default:
		return fmt.Errorf("wanted a text or a number, not %s", data)
	}
	return nil
}

// Duration is a time as 15s.
type Duration time.Duration

// UnmarshalJSON reads it.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, err := strconv.Unquote(string(data))
	if err != nil {
		return fmt.Errorf("wanted a time as 15s, not %s", data)
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 || v > time.Minute {
		return fmt.Errorf("wanted a time as 15s, up to 1m, not %q", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes it as it is read.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Parse reads the file of a lab. Invalid: it is none; the message says where.
func Parse(file string, data []byte) (Lab, error) {
	var l Lab
	var ok bool
	if l.Name, l.Language, ok = fileName(file); !ok {
		return l, api.Errorf(api.Invalid, "cannot read lab %q: its file is to be named as NAME.en.md, with a name of a-z, 0-9 and -", file)
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	head, body, ok := strings.Cut(strings.TrimPrefix(text, "---\n"), "\n---\n")
	if !ok || !strings.HasPrefix(text, "---\n") {
		return l, api.Errorf(api.Invalid, "cannot read lab %q: it does not begin with front matter between two lines ---", file)
	}
	if err := yaml.UnmarshalStrict([]byte(head), &l); err != nil {
		return l, api.Errorf(api.Invalid, "cannot read the front matter of lab %q: %w", file, err)
	}
	intro, sections := split(body)
	l.Intro = intro
	for i := range l.Tasks {
		if i < len(sections) {
			l.Tasks[i].Title, l.Tasks[i].Text = sections[i].title, sections[i].text
		}
	}
	switch extra := len(sections) - len(l.Tasks); {
	case extra < 0:
		return l, api.Errorf(api.Invalid, "cannot read lab %q: it has %d tasks, and %d sections that begin with ##; each task has one", file, len(l.Tasks), len(sections))
	case extra > 1:
		return l, api.Errorf(api.Invalid, "cannot read lab %q: it has %d tasks, and %d sections that begin with ##; only one more is for the end", file, len(l.Tasks), len(sections))
	case extra == 1:
		last := sections[len(sections)-1]
		l.Closing = "## " + last.title + "\n\n" + last.text
	}
	return l, nil
}

// fileName takes name and language out of first-instance.en.md.
func fileName(file string) (name, language string, ok bool) {
	stem, ok := strings.CutSuffix(file, ".md")
	if !ok {
		return "", "", false
	}
	name, language, ok = strings.Cut(stem, ".")
	return name, language, ok && api.CheckName("lab", name) == nil && len(name) <= 30 && len(language) == 2
}

type section struct{ title, text string }

// split cuts a body at its headings of the second level, those in blocks of code left out.
func split(body string) (intro string, sections []section) {
	var part strings.Builder
	fenced := false
	end := func() {
		text := strings.TrimSpace(part.String())
		part.Reset()
		if len(sections) == 0 {
			intro = text
			return
		}
		sections[len(sections)-1].text = text
	}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if title, ok := strings.CutPrefix(line, "## "); ok && !fenced {
			end()
			sections = append(sections, section{title: strings.TrimSpace(title)})
			continue
		}
		part.WriteString(line)
	}
	end()
	return intro, sections
}
