package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"nuage/api"
)

// hostileComparison has mark-up wherever a user's text can get in.
func hostileComparison() api.Comparison {
	const evil = `<script>alert("x")</script>`
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return api.Comparison{Project: evil, At: at,
		Subjects: []api.Subject{{Name: evil, Noun: "function", Model: "faas"}, {Name: "vm", Noun: "instance", Model: "iaas"}},
		Layers: []api.ComparisonLayer{{Layer: api.LayerOperatingSystem, Cells: []api.ComparisonCell{
			{Subject: evil, Recorded: "none", Published: "platform"},
			{Subject: "vm", Recorded: "shared", Published: "customer", Customer: 3, Platform: 1, Example: evil, Differs: true, Why: "the platform did " + evil, Odd: evil}}}},
		Measures:  []api.Measure{{Name: evil, Unit: "ms", Kind: "measured", Values: map[string]string{"vm": "1.5"}, Times: map[string]time.Time{"vm": at}}},
		Costs:     []api.SubjectCost{{Subject: evil, PerHour: "0.000000000000", PerRequest: "0.000000202500"}, {Subject: "vm", PerHour: "0.005000000000", PerRequest: "0"}},
		BreakEven: []api.BreakEven{{Dearer: evil, Cheaper: "vm", RequestsPerHour: 24691}}}
}

func TestComparePage(t *testing.T) {
	for lang, wants := range map[string][]string{
		"en": {`<html lang="en">`, "Who did the work?", "operating-system", "3 C · 1 P", "the platform did &lt;script&gt;", "costs more than vm above 24691 requests an hour.", "$0.0000002025", "measured 2026-01-02 03:04 UTC", "nothing recorded"},
		"fr": {`<html lang="fr">`, "Qui a fait le travail", "système d’exploitation", "partagé", "La matrice laisse cette couche au client ; ici la plateforme en a fait une partie : &lt;script&gt;", "coûte plus que vm au-dessus de 24691 requêtes par heure."},
	} {
		w := newWorld(t, "")
		w.compared.comparison = hostileComparison()
		page := w.run("compare", "-o", "html", "--lang", lang)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("the page in %s lacks %q", lang, want)
			}
		}
		if found := regexp.MustCompile(`(?i)<script|\ssrc=|\shref=|url\(|@import|https?://[^w]`).FindString(page); found != "" {
			t.Errorf("the page in %s has %q", lang, found)
		}
		if strings.Count(page, "<polyline") != 2 || !strings.Contains(page, "</html>") {
			t.Errorf("the page in %s has no chart with two lines:\n%s", lang, page)
		}
	}
	w := newWorld(t, "")
	w.check(t, "! nuage: cannot print this as html: only nuage compare can be; see nuage instance list --help\nexit 2\n", "instance", "list", "-o", "html")
}

// TestFrenchPageIsWhole: each text, layer and measure has a word in French.
func TestFrenchPageIsWhole(t *testing.T) {
	fr := frenchPage()
	for _, l := range api.Layers() {
		if fr.layers[string(l)] == "" {
			t.Errorf("layer %s has no word in French", l)
		}
	}
	w := newWorld(t, "")
	w.compared.comparison = api.Comparison{Project: "default"}
	if page := w.run("compare", "-o", "html", "--lang", "fr"); !strings.Contains(page, "Rien à comparer") {
		t.Errorf("an empty project: %s", page)
	}
}
