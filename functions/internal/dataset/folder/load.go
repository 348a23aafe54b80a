// Package folder reads a dataset's folder: its contract (Open Data Contract Standard v3), its pipeline and its SQL.
//
// Whatever the folder asks for that Almanac cannot do is an error that names file and line; nothing is ignored.
package folder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/almanac-data/almanac/functions/internal/dataset"
	"github.com/almanac-data/almanac/functions/internal/dataset/contract"
	"github.com/almanac-data/almanac/functions/internal/dataset/document"
	"github.com/almanac-data/almanac/functions/internal/dataset/pipeline"
	"github.com/almanac-data/almanac/functions/internal/dataset/quality"
)

const (
	contractFile = "contract.yaml"
	pipelineFile = "pipeline.yaml"
)

var datasetName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// List names the folders of root that have a contract or a pipeline, sorted by name.
func List(root string) ([]string, error) {
	entries, err := os.ReadDir(root) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("read datasets: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		if dir := filepath.Join(root, entry.Name()); holds(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// LoadAll reads every folder of root that has a contract or a pipeline, sorted by name. The error names every mistake
// in every folder.
func LoadAll(root string) ([]*dataset.Dataset, error) {
	dirs, err := List(root)
	if err != nil {
		return nil, err
	}
	var all []*dataset.Dataset
	var errs []error
	for _, dir := range dirs {
		d, err := Load(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, d)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return all, nil
}

// Catalog reads every dataset below root. The error names every mistake in every folder.
func Catalog(root string) (*dataset.Catalog, error) {
	all, err := LoadAll(root)
	if err != nil {
		return nil, err
	}
	return dataset.NewCatalog(all...), nil
}

func holds(dir string) bool {
	f := document.NewFolder(dir, "")
	return f.Has(contractFile) || f.Has(pipelineFile)
}

// Load reads the folder of one dataset. The error names every mistake with its file, its line and what to do.
func Load(dir string) (*dataset.Dataset, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("load dataset: %w", err)
	}
	name := filepath.Base(dir)
	d, files := &dataset.Dataset{Name: name, Dir: dir}, document.NewFolder(dir, name)
	if !datasetName.MatchString(name) || name == "releases" || name == "datasets" {
		files.Add(files.File(contractFile), 1, fmt.Sprintf("the folder's name %q cannot name a dataset", name),
			"use lower-case letters, digits and -, starting with a letter, and not the word releases or datasets")
	}
	// Both go on after a mistake, so that all of them are told at once.
	rules := quality.NewLoader(d)
	if root, ok := files.Parse(contractFile); ok {
		contract.Load(root, d, rules)
	}
	if root, ok := files.Parse(pipelineFile); ok {
		pipeline.Load(root, d, files)
	}
	rules.Check()
	if err := files.Err(); err != nil {
		return nil, err
	}
	if d.Definition, err = definition(d); err != nil {
		return nil, err
	}
	return d, nil
}
