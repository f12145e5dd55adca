package cibtoml

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestReferenceTOML looks for every key of the form in docs/reference-toml.md. Method: the keys are the texts that the
// descriptions of tables (calls with a parameter named key) give; those that come from tables of options are in
// docs/reference-options.md, which is made from them.
func TestReferenceTOML(t *testing.T) {
	t.Parallel()
	keys := sourceKeys(t)
	if len(keys) < 100 {
		t.Fatalf("%d keys were found in the source, want more than 100: %v", len(keys), keys)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "reference-toml.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if !regexp.MustCompile("(^|[^A-Za-z0-9-])" + regexp.QuoteMeta(key) + "([^A-Za-z0-9-]|$)").Match(text) {
			t.Errorf("docs/reference-toml.md does not name the key %s", key)
		}
	}
}

// sourceKeys returns the texts that are given as a parameter named key, in order.
func sourceKeys(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	set := token.NewFileSet()
	at := map[string]int{} // place of the parameter key, by the name of the function
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if i, ok := keyParameter(n.Type); ok {
					at[n.Name.Name] = i
				}
			case *ast.AssignStmt: // role := func(key string, ...)
				if name, ok := n.Lhs[0].(*ast.Ident); ok && len(n.Rhs) == 1 {
					if lit, ok := n.Rhs[0].(*ast.FuncLit); ok {
						if i, ok := keyParameter(lit.Type); ok {
							at[name.Name] = i
						}
					}
				}
			}
			return true
		})
	}
	// These say what is wrong under a key, which need not exist, or write a value that some other call reads.
	for _, name := range []string{"join", "quoteKey", "pair"} {
		delete(at, name)
	}
	found := map[string]bool{}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := ""
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
			}
			i, ok := at[name]
			if !ok || i >= len(call.Args) {
				return true
			}
			if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if key, err := strconv.Unquote(lit.Value); err == nil && key != "" {
					found[key] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// keyParameter returns the place of the parameter that is named key.
func keyParameter(f *ast.FuncType) (int, bool) {
	i := 0
	for _, field := range f.Params.List {
		for _, name := range field.Names {
			if name.Name == "key" {
				return i, true
			}
			i++
		}
	}
	return 0, false
}
