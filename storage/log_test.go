package storage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nuage/api"
	"nuage/storage"
)

type call struct {
	Function string    `json:"function"`
	At       time.Time `json:"at"`
	N        int       `json:"n"`
}

func calls() *storage.Log[call] {
	return storage.NewLog("calls",
		storage.Many("function", func(c *call) string { return c.Function }),
		storage.Many("time", func(c *call) string { return storage.TimeKey(c.At) }))
}

// tenCalls go round the functions default/a, default/ab, other/a, one a minute backwards in time.
func tenCalls(t *testing.T) *storage.Store {
	t.Helper()
	s, log := newStore(t), calls()
	update(t, s, func(tx *storage.Tx) error {
		for i := range 10 {
			c := call{Function: []string{"default/a", "default/ab", "other/a"}[i%3], At: fixedTime().Add(-time.Duration(i) * time.Minute), N: i}
			sequence, err := log.Append(tx, c)
			if err != nil || sequence != uint64(i+1) {
				return fmt.Errorf("record %d got sequence %d, %v", i, sequence, err)
			}
		}
		return nil
	})
	return s
}

func numbers(entries []storage.Entry[call]) string {
	out := []string{}
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%d:%d", e.Sequence, e.Value.N))
	}
	return strings.Join(out, " ")
}

// gather turns a walk into a list.
func gather(t *testing.T, walk func(fn func(storage.Entry[call]) error) error) []storage.Entry[call] {
	t.Helper()
	var out []storage.Entry[call]
	must(t, walk(func(e storage.Entry[call]) error { out = append(out, e); return nil }))
	return out
}

func TestLogReads(t *testing.T) {
	s, log := tenCalls(t), calls()
	type entries = []storage.Entry[call]
	each := func(from, to uint64) func(tx *storage.Tx) entries {
		return func(tx *storage.Tx) entries {
			return gather(t, func(fn func(storage.Entry[call]) error) error { return log.Each(tx, from, to, fn) })
		}
	}
	eachBy := func(index, from, to string) func(tx *storage.Tx) entries {
		return func(tx *storage.Tx) entries {
			return gather(t, func(fn func(storage.Entry[call]) error) error { return log.EachBy(tx, index, from, to, fn) })
		}
	}
	last := func(before uint64, n int) func(tx *storage.Tx) entries {
		return func(tx *storage.Tx) entries { out, err := log.Last(tx, before, n); must(t, err); return out }
	}
	lastBy := func(value string, before uint64, n int) func(tx *storage.Tx) entries {
		return func(tx *storage.Tx) entries {
			out, err := log.LastBy(tx, "function", value, before, n)
			must(t, err)
			return out
		}
	}
	minute := func(n int) string { return storage.TimeKey(fixedTime().Add(-time.Duration(n) * time.Minute)) }
	cases := []struct {
		name string
		read func(tx *storage.Tx) entries
		want string
	}{
		{"all", each(0, 0), "1:0 2:1 3:2 4:3 5:4 6:5 7:6 8:7 9:8 10:9"},
		{"from, to", each(4, 7), "4:3 5:4 6:5"},
		{"from the end", each(10, 0), "10:9"},
		{"behind the end", each(11, 0), ""},
		{"last three", last(0, 3), "10:9 9:8 8:7"},
		{"last before", last(3, 5), "2:1 1:0"},
		{"last of none", last(1, 5), ""},
		{"last of a function", lastBy("default/a", 0, 2), "10:9 7:6"},
		{"last of a function before", lastBy("default/a", 7, 20), "4:3 1:0"},
		{"last of a longer name", lastBy("default/ab", 0, 20), "8:7 5:4 2:1"},
		{"last of the highest name", lastBy("other/a", 0, 1), "9:8"},
		{"last of an unknown function", lastBy("default/b", 0, 20), ""},
		{"one function", eachBy("function", "default/a", "default/a\x00"), "1:0 4:3 7:6 10:9"},
		{"one project", eachBy("function", "default/", storage.PrefixEnd("default/")), "1:0 4:3 7:6 10:9 2:1 5:4 8:7"},
		{"from a function on", eachBy("function", "default/ab", ""), "2:1 5:4 8:7 3:2 6:5 9:8"},
		{"a time span", eachBy("time", minute(4), minute(1)), "5:4 4:3 3:2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			view(t, s, func(tx *storage.Tx) {
				if got := numbers(c.read(tx)); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestLogErrors(t *testing.T) {
	s, log := tenCalls(t), calls()
	view(t, s, func(tx *storage.Tx) {
		_, err := log.Get(tx, 11)
		wantError(t, err, api.NotFound, "", `cannot find record 11 in calls`)
		_, err = log.LastBy(tx, "colour", "red", 0, 1)
		wantError(t, err, api.Internal, "", `cannot read calls by "colour": there is no such index`)
		if got, err := log.Get(tx, 4); err != nil || got.N != 3 {
			t.Errorf("record 4 is %+v, %v; want n 3", got, err)
		}
	})
	_, err := log.Record(call{Function: "a\x00b"})
	wantError(t, err, api.Invalid, "", `cannot write calls: function "a\x00b" holds a zero byte`)
	defer func() {
		if got, want := fmt.Sprint(recover()), `storage: index "id" of log "calls" is unique`; got != want {
			t.Errorf("panic %q, want %q", got, want)
		}
	}()
	storage.NewLog("calls", storage.Unique("id", func(*call) string { return "" }))
}

func TestLogTrim(t *testing.T) {
	s, log := tenCalls(t), calls()
	update(t, s, func(tx *storage.Tx) error {
		for _, want := range []int{4, 2, 0} {
			if n, err := log.Trim(tx, 7, 4); err != nil || n != want {
				t.Errorf("trimmed %d, %v; want %d", n, err, want)
			}
		}
		return nil
	})
	view(t, s, func(tx *storage.Tx) {
		of := func(index, from string) string {
			return numbers(gather(t, func(fn func(storage.Entry[call]) error) error { return log.EachBy(tx, index, from, "", fn) }))
		}
		got := []string{of("function", ""), of("time", ""), fmt.Sprint(log.End(tx))}
		want := []string{"7:6 10:9 8:7 9:8", "10:9 9:8 8:7 7:6", "11"}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("left %q, want %q", got, want)
		}
	})
	update(t, s, func(tx *storage.Tx) error { // a trimmed number is not used again, even when all went
		if _, err := log.Trim(tx, 1000, 1000); err != nil {
			return err
		}
		sequence, err := log.Append(tx, call{Function: "x"})
		if sequence != 11 {
			t.Errorf("sequence %d after trimming all, want 11", sequence)
		}
		return err
	})
}

func TestTimeKeyOrder(t *testing.T) {
	times := []time.Time{
		time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, -1), time.Unix(0, 0), time.Unix(0, 1),
		fixedTime(), fixedTime().Add(time.Nanosecond), time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for i := 1; i < len(times); i++ {
		if a, b := storage.TimeKey(times[i-1]), storage.TimeKey(times[i]); a >= b || len(a) != 16 {
			t.Errorf("key of %s is %s, not below %s of %s", times[i-1], a, b, times[i])
		}
	}
	for prefix, want := range map[string]string{"": "", "a": "b", "a\xff": "b", "\xff": ""} {
		if got := storage.PrefixEnd(prefix); got != want {
			t.Errorf("end of %q is %q, want %q", prefix, got, want)
		}
	}
}
