package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/wire"
)

func newLimitsCmd() *cobra.Command {
	var asJSON bool
	var changes []string
	cmd := &cobra.Command{
		Use:     "limits",
		Short:   "Show every limit of a server",
		Example: "  securelink limits\n  securelink limits --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limits := wire.DefaultLimits()
			if err := setLimits(&limits, changes); err != nil {
				return err
			}
			return printLimits(cmd.OutOrStdout(), &limits, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringArrayVar(&changes, "limit", nil, "NAME=NUMBER: as for serve")
	return cmd
}

// limitLine is one limit as scripts read it.
type limitLine struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
	Unit  string `json:"unit"`
	About string `json:"about"`
}

func printLimits(out io.Writer, limits *wire.Limits, asJSON bool) error {
	values := map[wire.Limit]uint64{}
	for _, v := range limits.Values() {
		values[v.Limit] = v.Value
	}
	var lines []limitLine
	for _, info := range wire.AllLimits() {
		lines = append(lines, limitLine{info.Name, values[info.Limit], info.Unit, info.About})
	}
	if asJSON {
		return printJSON(out, struct {
			Schema string      `json:"schema"`
			Limits []limitLine `json:"limits"`
		}{"securelink.limits.1", lines})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", l.Name, l.Value, l.Unit, l.About)
	}
	return w.Flush()
}
