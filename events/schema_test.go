package events

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// TestSchemasAreThoseOfTheStructs compares each file with what the struct gives, byte by byte: so neither can say more than the other.
func TestSchemasAreThoseOfTheStructs(t *testing.T) {
	comments := commentsOf(t)
	for name, e := range full() {
		s, err := jsonschema.ForType(reflect.TypeOf(e), nil)
		if err != nil {
			t.Fatalf("schema of %s: %v", name, err)
		}
		s.Schema = "https://json-schema.org/draft/2020-12/schema"
		s.ID = "https://almanac.dev/events/" + name + ".v1.json"
		s.Title = e.Type()
		describe(s, reflect.TypeOf(e), comments)
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, filepath.Join("schema", name+".json"), append(text, '\n'))
	}
}

func TestSchemasAcceptWhatIsSaid(t *testing.T) {
	for _, samples := range []map[string]Event{full(), least()} {
		for name, e := range samples {
			instance := instanceOf(t, e)
			if err := schemaOf(t, name).Validate(instance); err != nil {
				t.Errorf("the schema of %s refuses %v: %v", name, instance, err)
			}
			instance["added_later"] = true
			if err := schemaOf(t, name).Validate(instance); err != nil {
				t.Errorf("the schema of %s refuses a field that a later version adds: %v", name, err)
			}
		}
	}
}

func TestSchemasRefuse(t *testing.T) {
	for name, e := range full() {
		s := schemaOf(t, name)
		for key, value := range instanceOf(t, e) {
			broken := instanceOf(t, e)
			broken[key] = []any{map[string]any{"no": "such"}}
			if err := s.Validate(broken); err == nil {
				t.Errorf("the schema of %s accepts %s = %v", name, key, broken[key])
			}
			if _, ok := instanceOf(t, least()[name])[key]; !ok {
				continue // it may be left out
			}
			delete(broken, key)
			if err := s.Validate(broken); err == nil {
				t.Errorf("the schema of %s accepts an event without %s (%v)", name, key, value)
			}
		}
	}
}

func schemaOf(t *testing.T, name string) *jsonschema.Resolved {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("schema", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func instanceOf(t *testing.T, e Event) map[string]any {
	t.Helper()
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var instance map[string]any
	if err := json.Unmarshal(data, &instance); err != nil {
		t.Fatal(err)
	}
	return instance
}

// describe gives the parts of a schema the comments of the source, and lets readers pass over fields that they do not know.
func describe(s *jsonschema.Schema, typ reflect.Type, comments map[string]string) {
	switch typ.Kind() {
	case reflect.Slice:
		describe(s.Items, typ.Elem(), comments)
	case reflect.Map:
		s.Type, s.Types = "", []string{"null", "object"} // as a map that was never made is written
		describe(s.AdditionalProperties, typ.Elem(), comments)
	case reflect.Struct:
		s.AdditionalProperties = nil
		if s.Description == "" {
			s.Description = comments[typ.Name()]
		}
		for _, f := range reflect.VisibleFields(typ) {
			if f.Anonymous {
				continue
			}
			owner := typ
			if len(f.Index) > 1 {
				owner = typ.FieldByIndex(f.Index[:1]).Type
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			property := s.Properties[name]
			property.Description = comments[owner.Name()+"."+f.Name]
			describe(property, f.Type, comments)
		}
	default:
	}
}

// commentsOf reads the doc comments of the package's types and fields.
func commentsOf(t *testing.T) map[string]string {
	t.Helper()
	comments := map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.TYPE {
				for _, spec := range gen.Specs {
					commentType(comments, gen, spec.(*ast.TypeSpec))
				}
			}
		}
	}
	return comments
}

func commentType(comments map[string]string, gen *ast.GenDecl, spec *ast.TypeSpec) {
	comments[spec.Name.Name] = line(gen.Doc.Text())
	typ, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range typ.Fields.List {
		for _, name := range f.Names {
			comments[fmt.Sprintf("%s.%s", spec.Name.Name, name.Name)] = line(f.Doc.Text() + f.Comment.Text())
		}
	}
}

func line(text string) string { return strings.Join(strings.Fields(text), " ") }
