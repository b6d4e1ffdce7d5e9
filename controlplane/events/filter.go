package events

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"nuage/api"
)

// Bounds of a filter policy, as on Amazon SNS.
const (
	mostFilterKeys   = 5
	mostFilterValues = 150
)

// Filter is a filter policy: a subset of Amazon SNS's. All its attributes have to match, each by one of its conditions.
type Filter map[string][]condition

// condition tells whether an attribute will do. present: the event has it.
type condition func(value string, present bool) bool

// Matches tells whether an event with these attributes passes. An empty filter lets all through.
func (f Filter) Matches(attributes map[string]string) bool {
	for name, any := range f {
		value, present := attributes[name]
		if !slices.ContainsFunc(any, func(c condition) bool { return c(value, present) }) {
			return false
		}
	}
	return true
}

// ParseFilter reads a policy as {"color": ["red", {"prefix": "bl"}], "size": [{"numeric": [">", 5]}]}: values, and objects
// with one of prefix, suffix, equals-ignore-case, anything-but, numeric and exists. Invalid.
func ParseFilter(policy map[string]any) (Filter, error) {
	f, values := Filter{}, 0
	for name, v := range policy {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return nil, badFilter("the conditions of %q are no list", name)
		}
		if values += len(list); values > mostFilterValues || len(policy) > mostFilterKeys {
			return nil, badFilter("%d attributes with %d conditions in all are the most", mostFilterKeys, mostFilterValues)
		}
		for _, one := range list {
			c, err := parseCondition(one)
			if err != nil {
				return nil, err
			}
			f[name] = append(f[name], c)
		}
	}
	return f, nil
}

func badFilter(format string, args ...any) error {
	return api.Errorf(api.Invalid, "cannot use the filter: "+format, args...)
}

func parseCondition(v any) (condition, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return equal(v)
	}
	if len(object) == 1 {
		for word, operand := range object {
			return parseOperator(word, operand)
		}
	}
	return nil, badFilter("a condition is a value, or an object with one of prefix, suffix, equals-ignore-case, anything-but, numeric and exists")
}

func parseOperator(word string, operand any) (condition, error) {
	text, isText := operand.(string)
	switch {
	case word == "prefix" && isText:
		return func(v string, present bool) bool { return present && strings.HasPrefix(v, text) }, nil
	case word == "suffix" && isText:
		return func(v string, present bool) bool { return present && strings.HasSuffix(v, text) }, nil
	case word == "equals-ignore-case" && isText:
		return func(v string, present bool) bool { return present && strings.EqualFold(v, text) }, nil
	case word == "exists" && (operand == true || operand == false):
		return func(_ string, present bool) bool { return present == (operand == true) }, nil
	case word == "anything-but":
		return anythingBut(operand)
	case word == "numeric":
		return numeric(operand)
	}
	return nil, badFilter("the condition %q is none, or not with %v", word, operand)
}

// equal takes text as it is, a number by its value and a truth value as its word.
func equal(v any) (condition, error) {
	switch want := v.(type) {
	case string:
		return func(v string, present bool) bool { return present && v == want }, nil
	case bool:
		return func(v string, present bool) bool { return present && v == strconv.FormatBool(want) }, nil
	case float64:
		return func(v string, present bool) bool { n, ok := number(v); return present && ok && n == want }, nil
	}
	return nil, badFilter("%v is no value: text, numbers, true and false are", v)
}

// anythingBut takes an attribute that is there and is none of some values.
func anythingBut(operand any) (condition, error) {
	list, ok := operand.([]any)
	if !ok {
		list = []any{operand}
	}
	var none []condition
	for _, one := range list {
		c, err := parseCondition(one)
		if err != nil {
			return nil, err
		}
		none = append(none, c)
	}
	return func(v string, present bool) bool {
		return present && !slices.ContainsFunc(none, func(c condition) bool { return c(v, true) })
	}, nil
}

// numeric takes one or two comparisons, as [">", 0, "<=", 100].
func numeric(operand any) (condition, error) {
	list, ok := operand.([]any)
	if !ok || len(list) != 2 && len(list) != 4 {
		return nil, badFilter("numeric takes one or two comparisons, as [\">\", 0, \"<=\", 100]")
	}
	var all []func(float64) bool
	for i := 0; i < len(list); i += 2 {
		word, _ := list[i].(string)
		limit, isNumber := list[i+1].(float64)
		compare := comparison(word, limit)
		if compare == nil || !isNumber {
			return nil, badFilter("%v %v is no comparison: =, <, <=, > and >= with a number are", list[i], list[i+1])
		}
		all = append(all, compare)
	}
	return func(v string, present bool) bool {
		n, ok := number(v)
		return present && ok && !slices.ContainsFunc(all, func(c func(float64) bool) bool { return !c(n) })
	}, nil
}

func comparison(word string, limit float64) func(float64) bool {
	switch word {
	case "=":
		return func(n float64) bool { return n == limit }
	case "<":
		return func(n float64) bool { return n < limit }
	case "<=":
		return func(n float64) bool { return n <= limit }
	case ">":
		return func(n float64) bool { return n > limit }
	case ">=":
		return func(n float64) bool { return n >= limit }
	}
	return nil
}

// number reads a JSON number.
func number(text string) (float64, bool) {
	var n float64
	err := json.Unmarshal([]byte(text), &n)
	return n, err == nil && text != "null"
}
