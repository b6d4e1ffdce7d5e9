package main

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEstimate(t *testing.T) {
	w := newWorld(t, "")
	w.check(t, `BOOK    INSTANCE     APP           FUNCTION     CHEAPEST   DEARER THAN INSTANCE FROM   DEARER THAN APP FROM
aws     $7.592000    $36.040100    $3.518000    function   35408978 calls, 13.474/s    105077723 calls, 39.984/s
azure   $7.592000    $13.140000    $3.518000    function   35480003 calls, 13.501/s    49350003 calls, 18.779/s
gcp     $6.117400    $52.560000    $6.636000    instance   17293502 calls, 6.58/s      92917759 calls, 35.357/s
ibm     $61.393000   $108.878040   $28.368232   function   37442444 calls, 14.248/s    64549645 calls, 24.562/s
nuage   $14.600000   $21.900000    $8.365500    function   32444446 calls, 12.346/s    48666668 calls, 18.519/s
a month of 730 h: 18590000 calls of 100 ms at 128 MB, or a small instance or app for 730 h
`, "bill", "estimate", "--requests", "18590000", "--duration", "100ms", "--memory", "128", "--instance", "small")
}

// A chart is well-formed and has a line for each model under every book.
func TestEstimateCharts(t *testing.T) {
	w := newWorld(t, "")
	dir := t.TempDir()
	for _, name := range []string{"a.svg", "a.html"} {
		path := filepath.Join(dir, name)
		w.run("bill", "estimate", "--requests", "3M", "--chart", path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"book aws,", "book nuage,", "instance $", "app $", "polyline", "18", "3000000 calls of 100 ms at 128 MB"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		if strings.Contains(string(text), "src=") || strings.Contains(string(text), "href=") {
			t.Errorf("%s needs something else", name)
		}
		if name == "a.svg" {
			dec := xml.NewDecoder(strings.NewReader(string(text)))
			for err == nil {
				_, err = dec.Token()
			}
			if err != io.EOF {
				t.Errorf("the svg is not well-formed: %v", err)
			}
		}
	}
}
