package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/charmbracelet/colorprofile"
	"sigs.k8s.io/yaml"

	"nuage/api"
)

// column is one column of a list. Detail columns appear only where one thing is shown.
type column[T any] struct {
	head   string
	cell   func(T) string
	detail bool
}

// kind is how things of a type are printed.
type kind[T any] struct {
	word    string // as typed: instance
	name    func(*T) string
	columns []column[T]
}

// encode prints v for machines and reports whether that was asked for.
func (c *cli) encode(v any) (done bool, err error) {
	switch c.flags.output {
	case "json":
		enc := json.NewEncoder(c.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return true, enc.Encode(v)
	case "yaml":
		data, err := yaml.Marshal(v)
		if err == nil {
			_, err = c.out.Write(data)
		}
		return true, err
	case "csv", "focus":
		return true, usagef("cannot print this as %s: only nuage bill can be", c.flags.output)
	case "html":
		return true, usagef("cannot print this as html: only nuage compare can be")
	}
	return false, nil
}

// printList prints things in rows.
func printList[T any](c *cli, k kind[T], list api.List[T]) error {
	if list.Items == nil {
		list.Items = []T{}
	}
	if done, err := c.encode(list); done {
		return err
	}
	if c.flags.output == "name" {
		return printNames(c, k, list.Items)
	}
	var heads []string
	for _, col := range k.columns {
		if !col.detail {
			heads = append(heads, col.head)
		}
	}
	var rows [][]string
	for _, item := range list.Items {
		rows = append(rows, k.row(item))
	}
	return c.printTable(heads, rows)
}

// widths are those of the columns of a list with these items.
func (k kind[T]) widths(items []T) []int {
	var widths []int
	for _, col := range k.columns {
		if !col.detail {
			widths = append(widths, len(col.head))
		}
	}
	for _, item := range items {
		for i, cell := range k.row(item) {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	return widths
}

func (k kind[T]) row(item T) []string {
	var row []string
	for _, col := range k.columns {
		if !col.detail {
			row = append(row, col.cell(item))
		}
	}
	return row
}

func printNames[T any](c *cli, k kind[T], items []T) error {
	for i := range items {
		if _, err := fmt.Fprintln(c.out, k.name(&items[i])); err != nil {
			return err
		}
	}
	return nil
}

// printItem prints one thing as the outcome of a change: a list of one row, or the object itself for machines.
func printItem[T any](c *cli, k kind[T], item T) error {
	if done, err := c.encode(item); done {
		return err
	}
	return printList(c, k, api.List[T]{Items: []T{item}})
}

// printDetail prints one thing in full, a line for each column that has something to say.
func printDetail[T any](c *cli, k kind[T], item T) error {
	if done, err := c.encode(item); done {
		return err
	}
	if c.flags.output == "name" {
		return printNames(c, k, []T{item})
	}
	var rows [][]string
	for _, col := range k.columns {
		if cell := col.cell(item); cell != "" {
			rows = append(rows, []string{strings.ToLower(col.head), cell})
		}
	}
	return c.printTable(nil, rows)
}

// printTable prints aligned columns: heads, if any, in bold on a terminal.
func (c *cli) printTable(heads []string, rows [][]string) error {
	if len(heads) == 0 && len(rows) == 0 {
		return nil
	}
	rows = oneLine(rows)
	t := table.New().BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderHeader(false).BorderColumn(false).BorderRow(false).Wrap(false).
		StyleFunc(c.cellStyle(heads, rows)).Rows(rows...)
	if len(heads) > 0 {
		t.Headers(heads...)
	}
	var text strings.Builder
	for line := range strings.SplitSeq(t.Render(), "\n") {
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(c.painted(c.out), text.String())
	return err
}

// oneLine makes each cell one line without control characters, whatever the cloud was told.
func oneLine(rows [][]string) [][]string {
	clean := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	lines := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			lines[i] = append(lines[i], strings.Map(clean, cell))
		}
	}
	return lines
}

// painted is w without what its terminal can't show.
func (c *cli) painted(w io.Writer) io.Writer {
	if !c.colour(w) {
		return &colorprofile.Writer{Forward: w, Profile: colorprofile.NoTTY}
	}
	var env []string
	for k, v := range c.env {
		env = append(env, k+"="+v)
	}
	return colorprofile.NewWriter(w, env)
}

func (c *cli) cellStyle(heads []string, rows [][]string) table.StyleFunc {
	plain := lipgloss.NewStyle().PaddingRight(3)
	return func(row, col int) lipgloss.Style {
		switch {
		case !c.colour(c.out):
			return plain
		case row == table.HeaderRow:
			return plain.Bold(true)
		case row < len(rows) && col < len(rows[row]):
			return paint(plain, rows[row][col])
		}
		return plain
	}
}

// paint colours the words of a phase.
func paint(style lipgloss.Style, cell string) lipgloss.Style {
	switch api.Phase(cell) {
	case api.Running:
		return style.Foreground(lipgloss.Green)
	case api.Failed:
		return style.Foreground(lipgloss.Red)
	case api.Pending, api.Updating, api.Degraded, api.Stopping, api.Deleting:
		return style.Foreground(lipgloss.Yellow)
	}
	return style
}

// note prints a line for people on stderr.
func (c *cli) note(format string, args ...any) {
	fmt.Fprintf(c.err, format+"\n", args...)
}

// machine reports whether stdout is for a program.
func (c *cli) machine() bool { return c.flags.output != "table" }

// done says what was done, where there is no object to print.
func (c *cli) done(text, name string) error {
	var err error
	switch c.flags.output {
	case "table":
		_, err = fmt.Fprintln(c.out, text)
	case "name":
		_, err = fmt.Fprintln(c.out, name)
	}
	return err
}
