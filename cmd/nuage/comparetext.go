package main

import (
	"cmp"
	"fmt"
	"strings"

	"nuage/api"
)

// comparePageText is all that a page of a comparison says, in one language.
type comparePageText struct {
	Lang, Title, Lead, Of, Layer, Matrix, Nothing, Differences, Why, WhyNone, Measures, Measure, Unit, At        string
	Costs, CostLead, PerHour, PerRequest, BreakEven, Unknown, Requests, ChartTitle, Legend, Real, Sources, Empty string

	who, layers, measures, kinds, units map[string]string
	count                               string // of activities: format with customer's and platform's
	whyCustomer, whyPlatform, whyShared string // formats
	crossing                            string // format: dearer, cheaper, requests
}

// comparePageTexts answers in English, or in French.
func comparePageTexts(lang string) comparePageText {
	if lang == "fr" {
		return frenchPage()
	}
	return comparePageText{
		Lang: "en", Title: "Who did the work?", Lead: "Recorded work of the customer and of the platform, beside the published responsibility matrix",
		Of: "Project", Layer: "Layer", Matrix: "matrix", Nothing: "nothing recorded", Differences: "Where practice differs, and why",
		Why: "Why", WhyNone: "Nowhere: what is recorded agrees with the published matrix.", Measures: "Measured in the same cloud", Measure: "Measure", Unit: "Unit", At: "measured",
		Costs: "What it costs", CostLead: "At the prices of the book nuage, from what runs now and the newest calls.", PerHour: "USD an idle hour", PerRequest: "USD a request more", BreakEven: "Break-even", Unknown: "no call yet",
		Requests: "requests an hour", ChartTitle: "USD an hour by requests an hour",
		Legend:  "C customer, P platform: numbers of recorded activities. A dashed frame and ≠ mark a cell in which practice differs from the matrix.",
		Real:    "Everything here was recorded and measured in this cloud. The containers, the requests and the times are real; prices are teaching prices and nobody is charged; virtualization and physical hosts are one laptop's.",
		Sources: "Published expectation: Microsoft, “Shared responsibility in the cloud” (January 2026), with NIST SP 800-145 for virtualization. The column FaaS and the rows scaling and runtime are a synthesis of this project, as Microsoft lists functions under PaaS.",
		Empty:   "Nothing to compare: the project has no instance, app or function.",
		count:   "%d C · %d P", whyCustomer: "The matrix leaves this layer to the customer; here the platform did some of it: %s.", whyPlatform: "The matrix gives this layer to the platform; here the customer did some of it: %s.",
		whyShared: "The matrix shares this layer; so far only one side had something to do: %s.",
		crossing:  "%s costs more than %s above %s requests an hour.",
	}
}

func frenchPage() comparePageText {
	return comparePageText{
		Lang: "fr", Title: "Qui a fait le travail ?", Lead: "Le travail enregistré du client et de la plateforme, à côté de la matrice de responsabilités publiée",
		Of: "Projet", Layer: "Couche", Matrix: "matrice", Nothing: "rien d’enregistré", Differences: "Où la pratique diffère, et pourquoi",
		Why: "Pourquoi", WhyNone: "Nulle part : ce qui est enregistré correspond à la matrice publiée.", Measures: "Mesuré dans le même nuage", Measure: "Mesure", Unit: "Unité", At: "mesuré",
		Costs: "Ce que cela coûte", CostLead: "Aux prix du tarif nuage, d’après ce qui tourne maintenant et les derniers appels.", PerHour: "USD par heure au repos", PerRequest: "USD par requête de plus", BreakEven: "Seuil de rentabilité", Unknown: "aucun appel",
		Requests: "requêtes par heure", ChartTitle: "USD par heure selon les requêtes par heure",
		Legend:  "C client, P plateforme : nombres d’activités enregistrées. Un cadre en tirets et ≠ marquent une case où la pratique diffère de la matrice.",
		Real:    "Tout ceci a été enregistré et mesuré dans ce nuage. Les conteneurs, les requêtes et les temps sont réels ; les prix sont des prix d’enseignement et personne n’est facturé ; la virtualisation et les machines physiques sont celles d’un seul ordinateur.",
		Sources: "Attendu publié : Microsoft, « Shared responsibility in the cloud » (janvier 2026), et NIST SP 800-145 pour la virtualisation. La colonne FaaS et les lignes passage à l’échelle et environnement d’exécution sont une synthèse de ce projet, Microsoft rangeant les fonctions dans le PaaS.",
		Empty:   "Rien à comparer : le projet n’a ni instance, ni application, ni fonction.",
		count:   "%d C · %d P", whyCustomer: "La matrice laisse cette couche au client ; ici la plateforme en a fait une partie : %s.", whyPlatform: "La matrice donne cette couche à la plateforme ; ici le client en a fait une partie : %s.",
		whyShared: "La matrice partage cette couche ; pour l’instant un seul côté a eu quelque chose à faire : %s.",
		crossing:  "%s coûte plus que %s au-dessus de %s requêtes par heure.",
		who:       map[string]string{"customer": "client", "platform": "plateforme", "shared": "partagé"},
		layers: map[string]string{"data": "données", "configuration": "configuration", "identities": "identités et accès", "client-devices": "postes clients", "application": "application",
			"scaling": "passage à l’échelle", "runtime": "environnement d’exécution", "operating-system": "système d’exploitation", "network-controls": "contrôles réseau",
			"virtualization": "virtualisation", "physical": "machines physiques"},
		measures: map[string]string{"steps by the customer": "étapes du client", "steps by the platform": "étapes de la plateforme", "customer's first to last step": "de la première à la dernière étape du client",
			"failed": "échecs", "first answer": "première réponse", "latency p50": "latence p50", "latency p99": "latence p99", "recovery after kill": "rétablissement après un arrêt brutal", "cold call": "appel à froid", "warm call": "appel à chaud",
			"vulnerable package patched by": "paquet vulnérable corrigé par", "vulnerable for": "vulnérable pendant",
			"cost so far": "coût jusqu’ici", "cost of an idle hour": "coût d’une heure au repos", "cost of 1,000 more requests": "coût de 1 000 requêtes de plus"},
		kinds: map[string]string{"counted": "compté", "measured": "mesuré", "billed": "facturé"},
		units: map[string]string{"count": "nombre", "min": "min", "who": "qui"},
	}
}

// measureWord is a measure's name in the page's language. Names of loads end in the number of times.
func (t comparePageText) measureWord(name string) string {
	what, times, ok := strings.Cut(strings.TrimSuffix(name, "x load"), " at ")
	if !ok || t.Lang == "en" {
		return translated(t.measures, name)
	}
	return fmt.Sprintf("%s à %s fois la charge", translated(t.measures, what), times)
}

func translated(words map[string]string, word string) string { return cmp.Or(words[word], word) }

// cellWhy says why practice differs from the matrix.
func (t comparePageText) cellWhy(c api.ComparisonCell) string {
	switch {
	case !c.Differs:
		return ""
	case t.Lang == "en":
		return c.Why
	case c.Published == string(api.Customer):
		return fmt.Sprintf(t.whyCustomer, c.Odd)
	case c.Published == string(api.Platform):
		return fmt.Sprintf(t.whyPlatform, c.Odd)
	}
	return fmt.Sprintf(t.whyShared, translated(t.who, c.Recorded))
}
