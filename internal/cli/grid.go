package cli

import (
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	gap         = 3 // columns between two cells
	narrowest   = 8 // no column is made narrower
	placeholder = "-"
)

// column is one column of a grid. Only those with cut set may be cut short to fit a terminal: ids never are.
type column struct {
	title string
	cut   bool
}

type grid struct {
	columns []column
	rows    [][]string
}

func (g *grid) add(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = placeholder
		}
	}
	g.rows = append(g.rows, cells)
}

// render writes the grid as plain text; width 0 is no limit.
func (g *grid) render(w io.Writer, width int) error {
	t := table.NewWriter()
	t.SetStyle(gridStyle())
	t.SuppressTrailingSpaces()
	header := make(table.Row, len(g.columns))
	for i, c := range g.columns {
		header[i] = c.title
	}
	t.AppendHeader(header)
	for _, r := range g.rows {
		row := make(table.Row, len(r))
		for i, cell := range r {
			row[i] = cell
		}
		t.AppendRow(row)
	}
	t.SetColumnConfigs(g.limits(width))
	_, err := io.WriteString(w, t.Render()+"\n")
	return err
}

// limits narrows the columns that may be, the widest first, until a line fits.
func (g *grid) limits(width int) []table.ColumnConfig {
	sizes := make([]int, len(g.columns))
	total := 0
	for i, c := range g.columns {
		sizes[i] = text.StringWidthWithoutEscSequences(c.title)
		for _, r := range g.rows {
			sizes[i] = max(sizes[i], text.StringWidthWithoutEscSequences(r[i]))
		}
		total += sizes[i] + gap
	}
	for width > 0 && total-gap > width {
		widest := -1
		for i, c := range g.columns {
			if c.cut && sizes[i] > narrowest && (widest < 0 || sizes[i] > sizes[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		sizes[widest]--
		total--
	}
	configs := make([]table.ColumnConfig, len(sizes))
	for i, s := range sizes {
		configs[i] = table.ColumnConfig{Number: i + 1, WidthMax: s, WidthMaxEnforcer: snip}
	}
	return configs
}

// snip marks what was cut off.
func snip(cell string, width int) string { return text.Snip(cell, width, "…") }

func gridStyle() table.Style {
	s := table.StyleDefault
	s.Name = "mgc"
	s.Box.PaddingLeft = ""
	s.Box.PaddingRight = "   "
	s.Options = table.OptionsNoBordersAndSeparators
	s.Format.Header = text.FormatUpper
	return s
}
