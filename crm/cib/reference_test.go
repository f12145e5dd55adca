package cib_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
)

// TestReferenceOptions compares docs/reference-options.md with the tables of options, from which it is made.
func TestReferenceOptions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Options\n\nMade from the tables in `crm/cib` by its tests; `go test ./crm/cib -rewrite` renews it.\n")
	for _, part := range []struct {
		title, text string
		list        []cib.Option
	}{
		{"Cluster properties", "", cib.Properties()},
		{"Meta-attributes of resources", "", cib.MetaOptions()},
		{"Meta-attributes of operations", "", cib.OperationOptions()},
		{"Parameters of every fence device", "Beside those of its agent.", cib.FencingOptions()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		if part.text != "" {
			fmt.Fprintf(&b, "%s\n\n", part.text)
		}
		b.WriteString("| name | type | default | meaning |\n|---|---|---|---|\n")
		for _, o := range part.list {
			name := "`" + o.Name + "`"
			if len(o.Old) > 0 {
				name += " (once `" + strings.Join(o.Old, "`, `") + "`)"
			}
			kind := o.Type.String()
			switch {
			case o.Type == cib.TypeChoice:
				kind = "`" + strings.Join(o.Choices, "`, `") + "`"
			case o.Bounded && o.Max == 1<<31-1:
				kind += fmt.Sprintf(", at least %d", o.Min)
			case o.Bounded:
				kind += fmt.Sprintf(", %d to %d", o.Min, o.Max)
			}
			value := ""
			if o.Default != "" {
				value = "`" + o.Default + "`"
			}
			help := o.Help
			if o.Internal {
				help += " Not for administrators."
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, kind, value, help)
		}
	}
	path := filepath.Join("..", "..", "docs", "reference-options.md")
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s is not what the tables say; run go test ./crm/cib -rewrite", path)
	}
}
