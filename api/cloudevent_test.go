package api

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestReadCloudEvent(t *testing.T) {
	structured := map[string][]string{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}
	binary := func(more ...string) map[string][]string {
		h := map[string][]string{"Content-Type": {"text/plain"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	for _, c := range []struct {
		name   string
		header map[string][]string
		body   string
		want   string // structured; or what is wrong
	}{
		{"structured", structured, `{"specversion":"1.0","id":"1","source":"/s","type":"t","n":5,"ok":true,"data":{"a":1}}`,
			`{"data":{"a":1},"id":"1","n":"5","ok":"true","source":"/s","specversion":"1.0","type":"t"}`},
		{"structured text", structured, `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"hello"}`,
			`{"data":"hello","datacontenttype":"text/plain","id":"1","source":"/s","specversion":"1.0","type":"t"}`},
		{"structured bytes", structured, `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"image/png","data_base64":"/w=="}`,
			`{"data_base64":"/w==","datacontenttype":"image/png","id":"1","source":"/s","specversion":"1.0","type":"t"}`},
		{"binary", binary("Ce-Subject", "a%20b", "Ce-Color", "red", "Ce-Time", "2026-01-02T03:04:05Z"), "hello",
			`{"color":"red","data":"hello","datacontenttype":"text/plain","id":"1","source":"/s","specversion":"1.0","subject":"a b","time":"2026-01-02T03:04:05Z","type":"t"}`},
		{"no version", structured, `{"id":"1","source":"/s","type":"t"}`, "cannot take a CloudEvent without specversion: each has specversion, id, source and type"},
		{"another version", structured, `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, `cannot take a CloudEvent of version "0.3": 1.0 is what there is`},
		{"no id", structured, `{"specversion":"1.0","source":"/s","type":"t"}`, "cannot take a CloudEvent without id: each has specversion, id, source and type"},
		{"a bad name", structured, `{"specversion":"1.0","id":"1","source":"/s","type":"t","A-b":"c"}`,
			`cannot take the CloudEvent attribute "A-b": a name has 1 to 20 characters a-z and 0-9, a value is text`},
		{"an object", structured, `{"specversion":"1.0","id":"1","source":"/s","type":"t","x":{}}`, `cannot take the CloudEvent attribute "x": it is neither text nor a number nor a truth value`},
		{"a bad time", binary("Ce-Time", "noon"), "", `cannot take a CloudEvent of the time "noon": it is no RFC 3339 time`},
		{"a batch", map[string][]string{"Content-Type": {"application/cloudevents-batch+json"}}, "[]",
			"cannot take a CloudEvent as application/cloudevents-batch+json: application/cloudevents+json is what there is; publish the events of a batch one by one"},
	} {
		e, err := ReadCloudEvent(c.header, []byte(c.body))
		got := ""
		if err != nil {
			got = err.Error()
		} else if text, err := json.Marshal(e); err != nil {
			got = err.Error()
		} else {
			got = string(text)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if e, err := ReadCloudEvent(map[string][]string{"Content-Type": {"text/plain"}}, []byte("x")); err != nil || e.Type != "" || string(e.Data) != "x" || e.DataContentType != "text/plain" {
		t.Errorf("plain data is %+v, %v", e, err)
	}
}

// FuzzCloudEvent: what is read can be written and read again as the same; what is refused is refused as Invalid.
func FuzzCloudEvent(f *testing.F) {
	f.Add("application/cloudevents+json", "", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}`)
	f.Add("text/plain", "1.0", "hello")
	f.Add("application/json", "1.0", "\xff")
	f.Fuzz(func(t *testing.T, kind, version, body string) {
		h := map[string][]string{"Content-Type": {kind}, "Ce-Specversion": {version}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}}
		e, err := ReadCloudEvent(h, []byte(body))
		if err != nil {
			if !errors.Is(err, Invalid) {
				t.Errorf("it is refused with %v", err)
			}
			return
		}
		if e.Type == "" {
			return
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		var again CloudEvent
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s is refused: %v", text, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(text) {
			t.Errorf("%s became %s (%v)", text, twice, err)
		}
	})
}
