package cloudconfig

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nuage/api"
)

// maxNodes is how many values a document may come to with its aliases followed: a few lines of aliases of aliases come
// to millions. maxText bounds their length likewise.
const (
	maxNodes = 20_000
	maxText  = 1 << 20
)

// reader walks a document's nodes. It keeps the first error and goes on, so that its callers need not ask after each step.
type reader struct {
	left    int // values it will still look at
	text    int // bytes it has taken
	unknown []string
	err     error
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	if r.err == nil {
		r.err = api.Errorf(api.Invalid, "cannot use the cloud-config: line %d: %s", n.Line, fmt.Sprintf(format, args...))
	}
}

// resolve follows an alias.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	if r.left--; r.left < 0 {
		r.fail(n, "its aliases come to more than %d values", maxNodes)
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line}
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// fields hands each value of a mapping to its field; the names of others are kept. Nothing counts as an empty mapping.
func (r *reader) fields(n *yaml.Node, path string, known map[string]func(n *yaml.Node, path string)) {
	n = r.resolve(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must be a mapping of names to values", orDocument(path))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && r.err == nil; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := r.string(key)
		at := strings.TrimPrefix(path+"."+name, ".")
		if seen[name] {
			r.fail(key, "%s is there twice", at)
		}
		seen[name] = true
		if field := known[name]; field != nil {
			field(value, at)
			continue
		}
		r.unknown = append(r.unknown, at)
	}
}

func orDocument(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// each calls fn for each value of a list; nothing is an empty list.
func (r *reader) each(n *yaml.Node, fn func(i int, n *yaml.Node)) {
	n = r.resolve(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "this must be a list")
		return
	}
	for i, value := range n.Content {
		if r.err != nil {
			return
		}
		fn(i, r.resolve(value))
	}
}

// string takes any scalar as it is written.
func (r *reader) string(n *yaml.Node) string {
	n = r.resolve(n)
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "this must be a text")
		return ""
	}
	if isNull(n) {
		return ""
	}
	if r.text += len(n.Value); r.text > maxText {
		r.fail(n, "its aliases come to more than %d KiB of text", maxText>>10)
		return ""
	}
	if strings.ContainsRune(n.Value, 0) {
		r.fail(n, "a text can't have a zero byte")
	}
	return n.Value
}

// line takes a text of one line, for files where lines and colons have a meaning.
func (r *reader) line(n *yaml.Node) string {
	s := r.string(n)
	if strings.ContainsAny(s, "\n\r") {
		r.fail(n, "this must be one line")
	}
	return s
}

func (r *reader) matching(n *yaml.Node, pattern *regexp.Regexp, what string) string {
	s := r.string(n)
	if s != "" && !pattern.MatchString(s) {
		r.fail(n, "%q is not %s", clip(s), what)
	}
	return s
}

func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// flag takes the words YAML has had for true and false.
func (r *reader) flag(n *yaml.Node) bool {
	switch s := r.string(n); strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return true
	case "false", "no", "off", "n", "":
		return false
	default:
		r.fail(n, "%q is neither true nor false", clip(s))
		return false
	}
}

func (r *reader) number(n *yaml.Node, base int) int {
	s := r.string(n)
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), base, 31)
	if err != nil {
		r.fail(n, "%q is not a number", clip(s))
	}
	return int(v)
}

// words takes a list of texts, or one text with commas.
func (r *reader) words(n *yaml.Node) []string {
	n = r.resolve(n)
	var all []string
	if n.Kind != yaml.SequenceNode {
		all = strings.Split(r.line(n), ",")
	} else {
		r.each(n, func(_ int, n *yaml.Node) { all = append(all, r.line(n)) })
	}
	var out []string
	for _, s := range all {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// commands takes lines for the shell; a list of words is one with each word quoted.
func (r *reader) commands(n *yaml.Node) []string {
	var out []string
	r.each(n, func(_ int, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			out = append(out, r.string(n))
			return
		}
		var words []string
		r.each(n, func(_ int, n *yaml.Node) { words = append(words, quote(r.string(n))) })
		out = append(out, strings.Join(words, " "))
	})
	return out
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
