package rest

import (
	"context"
	"net/http"
	"time"

	"nuage/api"
)

func (f *face) ledgerRoutes() []route {
	return []route{
		{get, "/v1/usage", anyToken, "bill", "list-usage", "List metered quantities, oldest first", handle(f.usage)},
		{get, "/v1/bill", anyToken, "bill", "get-bill", "Show the bill of a period", handle(f.bill)},
		{get, "/v1/invoices", anyToken, "bill", "list-invoices", "List the periods that are closed, oldest first", handle(f.invoices)},
		{post, "/v1/invoices", accountToken, "bill", "close-period", "Close a month: its bill does not change any more", handle(f.closePeriod, example(closing{Period: "2026-11"}))},
		{get, "/v1/retention", accountToken, "bill", "get-retention", "Say how long receipts are kept", handle(f.retention)},
		{put, "/v1/retention", accountToken, "bill", "set-retention", "Keep receipts for so many days", handle(f.setRetention, example(map[string]int{"days": 90}))},
		{get, "/v1/prices", anyToken, "bill", "get-prices", "Show a price book", handle(f.prices)},
		{get, "/v1/clock", anyToken, "bill", "get-clock", "Show the billing clock", handle(f.clock)},
		{post, "/v1/clock", accountToken, "bill", "change-clock", "Set the billing clock's speed, or put it forward", handle(f.changeClock, example(api.ClockChange{AdvanceSeconds: 30 * 86400}))},
		{get, "/v1/activities", anyToken, "activities", "list-activities", "List who did what, oldest first", handle(f.activities)},
	}
}

type usageInput struct {
	Project  string    `query:"project" doc:"only this project"`
	Resource string    `query:"resource" doc:"only the resource of this name"`
	From     time.Time `query:"from" doc:"from this time on"`
	To       time.Time `query:"to" doc:"before this time"`
	Page
}

type billInput struct {
	Project string    `query:"project" doc:"only this project"`
	By      string    `query:"by" pattern:"^(service|resource|model|project|day|tag:.+)$" doc:"sum the lines up by this: service, resource, model, project, day or tag:NAME"`
	Book    string    `query:"book" doc:"price book; nuage when absent"`
	From    time.Time `query:"from" doc:"from this time on; the start of the current month when absent"`
	To      time.Time `query:"to" doc:"before this time; the end of the current month when absent"`
}

type pricesInput struct {
	Book string `query:"book" doc:"price book; nuage when absent"`
}

type activitiesInput struct {
	Project  string    `query:"project" doc:"only this project"`
	Resource string    `query:"resource" doc:"only the resource of this name"`
	Layer    string    `query:"layer" doc:"only this layer" enum:"data,configuration,identities,client-devices,application,scaling,runtime,operating-system,network-controls,virtualization,physical"`
	Noun     string    `query:"noun" doc:"only resources of this kind, as instance or app"`
	Verb     string    `query:"verb" doc:"only this verb, as restart"`
	Model    string    `query:"model" enum:"iaas,paas,faas" doc:"only work of this service model"`
	Actor    string    `query:"actor" enum:"customer,platform" doc:"only this side's work"`
	By       string    `query:"by" doc:"only by the actor of this name: a user, a token, a part of the platform"`
	Since    time.Time `query:"since" doc:"from this time on"`
	Until    time.Time `query:"until" doc:"before this time"`
	Page
}

func (f *face) usage(ctx context.Context, in *usageInput) (*body[api.List[api.Usage]], error) {
	return list(f.Cloud.Ledger.Usage(ctx, api.UsageQuery{
		Project: in.Project, Resource: in.Resource, From: in.From, To: in.To, Page: in.page(),
	}))
}

func (f *face) bill(ctx context.Context, in *billInput) (*body[api.Bill], error) {
	bill, err := f.Cloud.Ledger.Bill(ctx, api.BillQuery{Project: in.Project, By: in.By, Book: in.Book, From: in.From, To: in.To})
	if bill.Lines == nil {
		bill.Lines = []api.BillLine{}
	}
	return one(bill, err)
}

// closing asks for a month to be closed.
type closing struct {
	Period string `json:"period,omitempty" doc:"month, as 2026-11; the first that is open when absent"`
}

type closingInput struct {
	Body closing
}

func (f *face) closePeriod(ctx context.Context, in *closingInput) (*body[api.Bill], error) {
	return one(f.Cloud.Ledger.Close(ctx, in.Body.Period))
}

type invoicesInput struct {
	Page
}

func (f *face) invoices(ctx context.Context, in *invoicesInput) (*body[api.List[api.Invoice]], error) {
	return list(f.Cloud.Ledger.Invoices(ctx, in.page()))
}

type retentionInput struct {
	Body struct {
		Days int64 `json:"days" minimum:"0" maximum:"36500" doc:"of billing time; 0: for ever"`
	}
}

func (f *face) retention(ctx context.Context, _ *nothing) (*body[api.Retention], error) {
	return one(f.Cloud.Ledger.Retention(ctx))
}

func (f *face) setRetention(ctx context.Context, in *retentionInput) (*body[api.Retention], error) {
	return one(f.Cloud.Ledger.SetRetention(ctx, api.Retention{Days: in.Body.Days}))
}

func (f *face) prices(ctx context.Context, in *pricesInput) (*body[api.PriceBook], error) {
	return one(f.Cloud.Ledger.Prices(ctx, in.Book))
}

func (f *face) clock(ctx context.Context, _ *nothing) (*body[api.ClockState], error) {
	return one(f.Cloud.Clock.Get(ctx))
}

type clockInput struct {
	Body api.ClockChange
}

func (f *face) changeClock(ctx context.Context, in *clockInput) (*body[api.ClockState], error) {
	return one(f.Cloud.Clock.Change(ctx, in.Body))
}

func (f *face) activities(ctx context.Context, in *activitiesInput) (*body[api.List[api.Activity]], error) {
	return list(f.Cloud.Activities.List(ctx, api.ActivityQuery{
		Project: in.Project, Resource: in.Resource, Noun: in.Noun, Verb: in.Verb, Model: in.Model, Layer: api.Layer(in.Layer),
		Actor: api.ActorKind(in.Actor), By: in.By, Since: in.Since, Until: in.Until, Page: in.page(),
	}))
}

func (f *face) comparisonRoutes() []route {
	sample := api.Measurement{Subject: "web", Name: "recovery", Unit: "s", Value: "2.4", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	return []route{
		{get, "/v1/projects/{project}/compare", anyToken, "compare", "compare", "Lay recorded work beside the published responsibility matrix", handle(f.compare)},
		{post, "/v1/projects/{project}/measurements", anyToken, "compare", "create-measurement", "Store a figure measured from outside",
			handle(f.measure, example(sample), status(http.StatusNoContent))},
		{get, "/v1/advisories", anyToken, "compare", "list-advisories", "List the advisories of the feed", handle(f.advisories)},
		{get, "/v1/projects/{project}/findings", anyToken, "compare", "findings", "What was found vulnerable, and who patched it", handle(f.findings)},
		{post, "/v1/projects/{project}/findings", anyToken, "compare", "plant", "Plant a vulnerable package in running containers",
			handle(f.plant, example(api.Planting{Advisory: "NUAGE-2026-1", Subjects: []string{"vm", "app/shop"}}))},
	}
}

func (f *face) advisories(ctx context.Context, _ *nothing) (*body[api.List[api.Advisory]], error) {
	return list(f.Cloud.Advisories.Feed(ctx))
}

func (f *face) findings(ctx context.Context, in *InProject) (*body[api.List[api.Finding]], error) {
	return list(f.Cloud.Advisories.Findings(ctx, in.Project))
}

type plantInput struct {
	InProject
	Body api.Planting
}

func (f *face) plant(ctx context.Context, in *plantInput) (*body[api.List[api.Finding]], error) {
	return list(f.Cloud.Advisories.Plant(ctx, in.Project, in.Body))
}

type compareInput struct {
	InProject
	Names []string `query:"name,explode" doc:"an instance, app or function, also as app/web; may be repeated; all of the project when absent"`
}

type measureInput struct {
	InProject
	Body api.Measurement
}

func (f *face) compare(ctx context.Context, in *compareInput) (*body[api.Comparison], error) {
	return one(f.Cloud.Comparisons.Compare(ctx, in.Project, in.Names))
}

func (f *face) measure(ctx context.Context, in *measureInput) (*nothing, error) {
	return done(f.Cloud.Comparisons.Measure(ctx, in.Project, in.Body))
}
