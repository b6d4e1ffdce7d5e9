package api

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// CloudEventType is the media type of a CloudEvent in structured mode.
const CloudEventType = "application/cloudevents+json"

// CloudEvent is an event as CloudEvents 1.0 describes it. As JSON it is in structured mode. One without a Type is plain data
// on its way to a topic, which fills in the rest.
type CloudEvent struct {
	ID              string
	Source          string // URI reference
	Type            string
	Subject         string
	Time            time.Time // zero: not given
	DataContentType string    // application/json when empty
	DataSchema      string
	Extensions      map[string]string // numbers and truth values as their text
	Data            []byte
}

var eventAttribute = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

// Attributes are what filters and receivers see of an event besides its data: id, source, type, subject and extensions.
func (e CloudEvent) Attributes() map[string]string {
	all := map[string]string{}
	for name, value := range e.Extensions {
		all[name] = value
	}
	for name, value := range map[string]string{"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject} {
		if value != "" {
			all[name] = value
		}
	}
	return all
}

// set sets one attribute by its name. Invalid: not possible.
func (e *CloudEvent) set(name, value string) error {
	switch name {
	case "specversion":
		if value != "1.0" {
			return Errorf(Invalid, "cannot take a CloudEvent of version %q: 1.0 is what there is", value)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "datacontenttype":
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return Errorf(Invalid, "cannot take a CloudEvent of the time %q: it is no RFC 3339 time", value)
		}
		e.Time = at
	default:
		return e.extend(name, value)
	}
	return nil
}

func (e *CloudEvent) extend(name, value string) error {
	if !eventAttribute.MatchString(name) || name == "data" || !utf8.ValidString(value) {
		return Errorf(Invalid, "cannot take the CloudEvent attribute %q: a name has 1 to 20 characters a-z and 0-9, a value is text", name)
	}
	if e.Extensions == nil {
		e.Extensions = map[string]string{}
	}
	e.Extensions[name] = value
	return nil
}

// complete refuses an event that lacks what each has, or in which something is no text, as a header can hold it.
func (e *CloudEvent) complete() error {
	for _, value := range []string{e.ID, e.Source, e.Type, e.Subject, e.DataContentType, e.DataSchema} {
		if !utf8.ValidString(value) {
			return Errorf(Invalid, "cannot take a CloudEvent with the attribute %q: it is no UTF-8 text", value)
		}
	}
	for name, value := range map[string]string{"id": e.ID, "source": e.Source, "type": e.Type} {
		if value == "" {
			return Errorf(Invalid, "cannot take a CloudEvent without %s: each has specversion, id, source and type", name)
		}
	}
	return nil
}

// isJSON tells that data of a content type is JSON.
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return contentType == "" || err == nil && (strings.HasSuffix(kind, "/json") || strings.HasSuffix(kind, "+json"))
}

// MarshalJSON writes the event in structured mode.
func (e CloudEvent) MarshalJSON() ([]byte, error) {
	doc := map[string]any{"specversion": "1.0"}
	for name, value := range e.Extensions {
		doc[name] = value
	}
	for name, value := range map[string]string{"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
		"datacontenttype": e.DataContentType, "dataschema": e.DataSchema} {
		if value != "" {
			doc[name] = value
		}
	}
	if !e.Time.IsZero() {
		doc["time"] = e.Time.UTC().Format(time.RFC3339Nano)
	}
	switch {
	case len(e.Data) == 0:
	case isJSON(e.DataContentType) && json.Valid(e.Data):
		doc["data"] = json.RawMessage(e.Data)
	case utf8.Valid(e.Data) && !isJSON(e.DataContentType):
		doc["data"] = string(e.Data)
	default:
		doc["data_base64"] = base64.StdEncoding.EncodeToString(e.Data)
	}
	return json.Marshal(doc)
}

// UnmarshalJSON reads structured mode. Invalid: it is none, or lacks an attribute that each has.
func (e *CloudEvent) UnmarshalJSON(text []byte) error {
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(text, &doc); err != nil {
		return Errorf(Invalid, "cannot read a CloudEvent: it is no JSON object")
	}
	*e = CloudEvent{}
	data, encoded := doc["data"], doc["data_base64"]
	delete(doc, "data")
	delete(doc, "data_base64")
	if doc["specversion"] == nil {
		return Errorf(Invalid, "cannot take a CloudEvent without specversion: each has specversion, id, source and type")
	}
	for name, raw := range doc {
		value, err := attributeText(name, raw)
		if err == nil && value != nil {
			err = e.set(name, *value)
		}
		if err != nil {
			return err
		}
	}
	if err := e.readData(data, encoded); err != nil {
		return err
	}
	return e.complete()
}

// attributeText is an attribute's value as text; nil for null, which is as good as absent.
func attributeText(name string, raw json.RawMessage) (*string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, Errorf(Invalid, "cannot read the CloudEvent attribute %q", name)
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return &v, nil
	case bool, float64:
		text := string(raw)
		return &text, nil
	}
	return nil, Errorf(Invalid, "cannot take the CloudEvent attribute %q: it is neither text nor a number nor a truth value", name)
}

func (e *CloudEvent) readData(data, encoded json.RawMessage) error {
	var text string
	switch {
	case data != nil && encoded != nil:
		return Errorf(Invalid, "cannot take a CloudEvent with data and data_base64: give one")
	case encoded != nil:
		if err := json.Unmarshal(encoded, &text); err != nil {
			return Errorf(Invalid, "cannot read the data_base64 of a CloudEvent: it is no text")
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return Errorf(Invalid, "cannot read the data_base64 of a CloudEvent: it is no base64")
		}
		e.Data = raw
	case data != nil && !isJSON(e.DataContentType) && json.Unmarshal(data, &text) == nil:
		e.Data = []byte(text)
	case data != nil:
		e.Data = data
	}
	return nil
}

// ReadCloudEvent reads what was published over HTTP: structured mode by its content type, binary mode by the header
// ce-specversion, anything else as plain data without a Type. Invalid: a mode it does not know, or a bad event.
func ReadCloudEvent(header map[string][]string, body []byte) (CloudEvent, error) {
	h := textproto.MIMEHeader(header)
	kind := h.Get("Content-Type")
	media, _, _ := mime.ParseMediaType(kind)
	var e CloudEvent
	switch {
	case media == CloudEventType:
		return e, e.UnmarshalJSON(body)
	case strings.HasPrefix(media, "application/cloudevents"):
		return e, Errorf(Invalid, "cannot take a CloudEvent as %s: %s is what there is; publish the events of a batch one by one", media, CloudEventType)
	}
	if !utf8.ValidString(kind) {
		return e, Errorf(Invalid, "cannot take an event of the content type %q: it is no UTF-8 text", kind)
	}
	e.Data, e.DataContentType = body, kind
	if h.Get("Ce-Specversion") == "" {
		return e, nil
	}
	for name, values := range h {
		attribute, ours := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ours || len(values) == 0 {
			continue
		}
		value, err := url.PathUnescape(values[0])
		if err != nil || attribute == "datacontenttype" {
			return e, Errorf(Invalid, "cannot read the header %s of a CloudEvent", name)
		}
		if err := e.set(attribute, value); err != nil {
			return e, err
		}
	}
	return e, e.complete()
}
