package labs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Plain turns anything into the maps, lists and numbers of its JSON, which paths lead through.
func Plain(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out any
	err = dec.Decode(&out)
	return out, err
}

// values are what a path as status.replicas.*.phase leads to: * is each element, a number one of them. What is null is not there.
func values(v any, path string) []any {
	if v == nil {
		return nil
	}
	if path == "" {
		return []any{v}
	}
	step, rest, _ := strings.Cut(path, ".")
	switch v := v.(type) {
	case map[string]any:
		if step != "*" {
			return values(v[step], rest)
		}
		var out []any
		for _, e := range v {
			out = append(out, values(e, rest)...)
		}
		return out
	case []any:
		if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(v) {
			return values(v[n], rest)
		}
		var out []any
		for _, e := range v {
			if step == "*" {
				out = append(out, values(e, rest)...)
			}
		}
		return out
	}
	return nil
}

// text is a value as a student reads it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number, bool, int, int64, float64:
		return fmt.Sprint(v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// matches tells whether an item is as where says, with {name} in it replaced.
func matches(item any, where map[string]Scalar, fill func(string) string) bool {
	for path, want := range where {
		if !holds(values(item, path), fill(string(want))) {
			return false
		}
	}
	return true
}

// holds tells whether what a path led to is as wanted: absent, present, or one of the values satisfies a comparison
// (== without a sign). With != none of them may be the one named.
func holds(found []any, want string) bool {
	some := false
	for _, v := range found {
		some = some || text(v) != "" && text(v) != "[]" && text(v) != "{}"
	}
	switch want {
	case "absent":
		return !some
	case "present":
		return some
	}
	if other, ok := strings.CutPrefix(want, "!= "); ok {
		return !holds(found, other)
	}
	for _, v := range found {
		if satisfies(text(v), want) {
			return true
		}
	}
	return false
}

// satisfies compares one value: >= 2, > 2, <= 2, < 2, ~ REGEXP, or the value itself; numbers as numbers.
func satisfies(got, want string) bool {
	sign, bound, ok := strings.Cut(want, " ")
	if !ok || !strings.Contains(" >= > <= < ~ ", " "+sign+" ") {
		return equal(got, want)
	}
	if sign == "~" {
		re, err := regexp.Compile(bound)
		return err == nil && re.MatchString(got)
	}
	a, okA := number(got)
	b, okB := number(bound)
	if !okA || !okB {
		return false
	}
	c := a.Cmp(b)
	return sign == ">=" && c >= 0 || sign == ">" && c > 0 || sign == "<=" && c <= 0 || sign == "<" && c < 0
}

func equal(got, want string) bool {
	a, okA := number(got)
	b, okB := number(want)
	return got == want || okA && okB && a.Cmp(b) == 0
}

// maxDigits bounds a number that somebody gives.
const maxDigits = 60

// number reads a decimal number; $ before it is no harm.
func number(s string) (*big.Rat, bool) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "$")
	if s == "" || len(s) > maxDigits || strings.ContainsAny(s, "/eEpPxX_") {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

// place is a {path} or {name} in a text.
var place = regexp.MustCompile(`\{[a-zA-Z][a-zA-Z0-9_.*-]*\}`)

// filled replaces each {path} by what is there in the item, or by what an earlier check saved under that name.
func filled(s string, item any, outputs map[string]string) string {
	return place.ReplaceAllStringFunc(s, func(p string) string {
		name := p[1 : len(p)-1]
		if v, ok := outputs[name]; ok {
			return v
		}
		var parts []string
		for _, v := range values(item, name) {
			parts = append(parts, text(v))
		}
		return clip(strings.Join(parts, ", "))
	})
}

// mostShown of a value is enough for a hint.
const mostShown = 300

func clip(s string) string {
	if r := []rune(strings.TrimSpace(s)); len(r) > mostShown {
		return string(r[:mostShown]) + "..."
	}
	return strings.TrimSpace(s)
}
