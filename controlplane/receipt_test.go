package controlplane

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// What appendJSON writes is what encoding/json writes, of every field there is.
func TestStoredReceiptAppendJSON(t *testing.T) {
	var full receipt
	fields := reflect.ValueOf(&full).Elem()
	for i := range fields.NumField() {
		switch f := fields.Field(i); f.Interface().(type) {
		case string:
			f.SetString(fields.Type().Field(i).Name + " <")
		case int, int64:
			f.SetInt(int64(i) + 1)
		case bool:
			f.SetBool(true)
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6_000_000*i, time.UTC)))
		default:
			t.Fatalf("%s is of a kind that this test does not know", fields.Type().Field(i).Name)
		}
	}
	for _, r := range []receipt{{}, full} {
		want, err := json.Marshal(r)
		if got := r.appendJSON(nil); err != nil || string(got) != string(want) {
			t.Errorf("got %s\nwant %s, %v", got, want, err)
		}
	}
}
