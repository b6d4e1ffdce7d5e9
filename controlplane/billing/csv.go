package billing

import (
	"encoding/csv"
	"io"

	"nuage/api"
)

// WriteCSV writes the lines of a bill as RFC 4180 has it (a header, fields quoted where needed, CRLF). The columns are
// those of api.BillLine by their JSON names. The error is w's.
func WriteCSV(w io.Writer, bill api.Bill) error {
	rows := [][]string{{"project", "service", "model", "resource", "resourceId", "meter", "quantity", "unit", "unitPrice", "cost", "note", "day", "adjusts", "tags"}}
	for _, l := range bill.Lines {
		rows = append(rows, []string{l.Project, l.Service, l.Model, l.Resource, l.ResourceID, l.Meter, l.Quantity, l.Unit,
			l.UnitPrice, l.Cost, l.Note, l.Day, l.Adjusts, focusTags(focusRow{line: l})})
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	return out.WriteAll(rows)
}
