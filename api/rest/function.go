package rest

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"nuage/api"
)

func (f *face) functionRoutes() []route {
	return []route{
		{post, invocationPath, anyToken, "functions", "invoke-function", "Call a function",
			stream(f.invoke, bytesIn("application/octet-stream", "the event: any bytes of any type, 6 MiB at most, 256 KiB of an asynchronous call", false), invocation)},
		{get, invocationPath, anyToken, "functions", "list-invocations", "List the receipts of the newest calls, newest first", handle(f.calls)},
	}
}

type invokeInput struct {
	Named
	Type      string `header:"Nuage-Invocation-Type" enum:"sync,async,dry-run" doc:"sync when absent; dry-run only looks whether the call could be made"`
	Qualifier string `query:"qualifier" maxLength:"40" doc:"an alias, or the number of a published version; absent: what was deployed last" example:"live"`
	LogType   string `header:"Nuage-Log-Type" enum:"tail,none" doc:"tail: answer the last 4 KB of the log in Nuage-Log"`
}

type callsInput struct {
	Named
	Last int `query:"last" minimum:"0" maximum:"1000" doc:"so many; 20 when 0 or absent"`
}

func (f *face) calls(ctx context.Context, in *callsInput) (*body[api.List[api.Receipt]], error) {
	return list(f.Cloud.Functions.Calls(ctx, in.Project, in.Name, in.Last))
}

func (f *face) invoke(w http.ResponseWriter, r *http.Request, in *invokeInput) error {
	return f.call(r.Context(), w, r, in)
}

// call calls a function. An error of the function is a 200 with the header Nuage-Function-Error.
func (f *face) call(ctx context.Context, w http.ResponseWriter, r *http.Request, in *invokeInput) error {
	recordOf(ctx).routine = true
	payload, err := readEvent(w, r, in)
	if err != nil {
		return err
	}
	call := api.Invocation{Payload: payload, ContentType: r.Header.Get("Content-Type"), Type: api.InvocationType(in.Type), Qualifier: in.Qualifier}
	if call.Type == "" {
		call.Type = api.Sync
	}
	answer, err := f.Cloud.Functions.Invoke(ctx, in.Project, in.Name, call)
	if err != nil {
		return err
	}
	return writeAnswer(w, call.Type, in.LogType == "tail", answer)
}

// readEvent reads the body of a call.
func readEvent(w http.ResponseWriter, r *http.Request, in *invokeInput) (payload []byte, err error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(bodyTime)) // a writer of a test has none
	most := int64(api.MaxPayloadBytes)
	if in.Type == string(api.Async) {
		most = api.MaxEventBytes
	}
	event := limitBody(w, r, most)
	if size := r.ContentLength; size > 0 && size <= most {
		payload = make([]byte, size)
		_, err = io.ReadFull(event, payload)
	} else {
		payload, err = io.ReadAll(event)
	}
	if err != nil {
		return nil, event.explain(refuseBody(event, err))
	}
	_ = c.SetReadDeadline(time.Time{})
	return payload, nil
}

// refuseBody words a body that broke off.
func refuseBody(l *limited, err error) error {
	if explained := l.explain(err); explained != err {
		return explained
	}
	return refuse(http.StatusBadRequest, "cannot read the body of the request: it broke off")
}

func writeAnswer(w http.ResponseWriter, kind api.InvocationType, withLog bool, a api.Answer) error {
	h := w.Header()
	receipt := func() string { return string(a.Receipt.AppendJSON(make([]byte, 0, 512))) }
	if kind == api.DryRun {
		h.Set(api.HeaderReceipt, receipt())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.Set(api.HeaderInvocationID, a.Receipt.RequestID)
	if kind == api.Async {
		w.WriteHeader(http.StatusAccepted)
		return nil
	}
	h.Set(api.HeaderReceipt, receipt())
	h.Set(api.HeaderBilledMs, strconv.FormatInt(a.Receipt.BilledMs, 10))
	setIf(h, a.Receipt.Cold, api.HeaderInitMs, a.Receipt.InitMs)
	setIf(h, a.FunctionError != "", api.HeaderFunctionError, a.FunctionError)
	if withLog {
		h.Set(api.HeaderLog, base64.StdEncoding.EncodeToString([]byte(a.Log)))
	}
	setIf(h, true, "Content-Type", mediaType(a.ContentType))
	_, err := w.Write(a.Payload)
	return err
}

func setIf(h http.Header, yes bool, name, value string) {
	if yes {
		h.Set(name, value)
	}
}

func mediaType(t string) string {
	if t == "" {
		return "application/octet-stream"
	}
	return t
}

// invocation documents the answers of a call.
func invocation(op *huma.Operation) {
	bytesOut(http.StatusOK, "*/*", "What the function answered, or its error document.")(op)
	text := &huma.Schema{Type: huma.TypeString}
	headers := map[string]*huma.Param{}
	for name, about := range map[string]string{
		api.HeaderInvocationID:  "id of the call",
		api.HeaderBilledMs:      "billed milliseconds",
		api.HeaderInitMs:        "milliseconds to start the runtime; on cold calls only",
		api.HeaderFunctionError: "Handled or Unhandled, where the function failed",
		api.HeaderReceipt:       "the receipt as JSON",
		api.HeaderLog:           "the last 4 KB of the log in base64, where asked for",
	} {
		headers[name] = &huma.Param{Description: about, Schema: text}
	}
	op.Responses["200"].Headers = headers
	op.Responses["204"] = &huma.Response{Description: "The call could be made; it was not, as asked."}
	op.Responses["202"] = &huma.Response{Description: "Durable, to be run soon.", Headers: map[string]*huma.Param{
		api.HeaderInvocationID: headers[api.HeaderInvocationID],
	}}
}
