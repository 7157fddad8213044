package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// adminCommand makes one command for every act.
func adminCommand() *cobra.Command {
	admin := &cobra.Command{
		Use:   "admin",
		Short: "Administer the server that runs here",
		Long: `Administer the server that runs on this machine, through a socket in its data
folder: who may open that folder is the operator.

An operator cannot read what people write, cannot enter a room unseen, and cannot
make anybody a room's administrator: the server has no key for any of it. Every
act that changes something is in the audit log.

  securelink admin user list
  securelink admin token create --uses 5 --expires 168h --note family
  securelink admin ban add 192.0.2.0/24 --reason flood --expires 24h

Exit codes: 0 done, 1 the arguments, 2 the server failed, 3 no server runs there,
6 not allowed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	groups := map[string]*cobra.Command{}
	for _, a := range adminActs {
		name, verb, _ := strings.Cut(a.name, " ")
		group := groups[name]
		if group == nil {
			group = &cobra.Command{Use: name, Short: "About " + plural(name), Args: cobra.NoArgs,
				RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
			groups[name] = group
			admin.AddCommand(group)
		}
		group.AddCommand(actCommand(a, verb))
	}
	return admin
}

func plural(name string) string {
	switch name {
	case "audit", "status", "log":
		return "the " + name
	}
	return name + "s"
}

func actCommand(a adminAct, verb string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   strings.TrimSpace(verb + " " + a.args),
		Short: a.about,
		Args:  cobra.ExactArgs(len(strings.Fields(a.args))),
	}
	s := addSettings(cmd, map[string]string{"data": "server.data"})
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	values := map[string]*string{}
	for _, f := range a.flags {
		name, about, _ := strings.Cut(f, "=")
		values[name] = cmd.Flags().String(name, "", about)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, folder, err := s.loadFolder()
		if err != nil {
			return err
		}
		request := adminRequest{Act: a.name, Args: args, Flags: map[string]string{}}
		for name, value := range values {
			if *value != "" {
				request.Flags[name] = *value
			}
		}
		answer, err := askAdmin(cmd.Context(), folder, request)
		if err != nil {
			return err
		}
		return printAnswer(cmd.OutOrStdout(), *asJSON, answer)
	}
	return cmd
}

// printAnswer prints a table, or objects with the columns as their keys.
func printAnswer(out io.Writer, asJSON bool, a adminAnswer) error {
	if asJSON {
		rows := []map[string]string{}
		for _, row := range a.Rows {
			object := map[string]string{}
			for i, column := range a.Columns {
				object[column] = row[i]
			}
			rows = append(rows, object)
		}
		return printJSON(out, struct {
			Schema string              `json:"schema"`
			Done   string              `json:"done,omitempty"`
			Rows   []map[string]string `json:"rows"`
		}{"securelink.admin.1", a.Done, rows})
	}
	if a.Done != "" {
		_, err := fmt.Fprintln(out, a.Done)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(a.Columns, "\t")))
	for _, row := range a.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printable quotes what would do something to a terminal: names and labels are
// other people's.
func printable(cell string) string {
	if quoted := strconv.Quote(cell); quoted[1:len(quoted)-1] != cell {
		return quoted
	}
	return cell
}
