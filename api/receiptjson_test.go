package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// What AppendJSON writes is what encoding/json writes, of every field there is.
func TestReceiptAppendJSON(t *testing.T) {
	var full Receipt
	fields := reflect.ValueOf(&full).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i); f.Interface().(type) {
		case string:
			f.SetString(fields.Type().Field(i).Name)
		case int, int64:
			f.SetInt(int64(i) - 5)
		case bool:
			f.SetBool(true)
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6_000_000*i, time.UTC)))
		default:
			t.Fatalf("%s is of a kind that this test does not know", fields.Type().Field(i).Name)
		}
	}
	odd := full
	odd.Status, odd.Project, odd.Function, odd.StartedAt = "a \"b\"\n", "<&>", "\xffé", time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for _, r := range []Receipt{{}, full, odd} {
		want, err := json.Marshal(r)
		if got := r.AppendJSON([]byte("x")); err != nil || string(got) != "x"+string(want) {
			t.Errorf("got %s\nwant %s, %v", got, want, err)
		}
	}
}
