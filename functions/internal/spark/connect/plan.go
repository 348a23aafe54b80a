package connect

import (
	"google.golang.org/protobuf/proto"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

// Plan is one SQL text over files. Nothing of it stays behind in the session.
type Plan struct {
	SQL    string
	Tables []Table
}

// Table is Parquet files under a name that the text knows. Without files it is empty.
type Table struct {
	Name  string
	DDL   string // columns and types, such as "a BIGINT, b STRING"
	Files []string
}

// fieldWithRelations is Relation.with_relations of Spark 4: SQL over temporary views that live as long as the plan is analysed.
const fieldWithRelations = 41

// encode makes the Plan of the protocol, in one message, so that the views need no calls of their own.
func (p Plan) encode() ([]byte, error) {
	root, err := p.marshal("Relation", wire.Object{"sql": wire.Object{"query": p.SQL}})
	if err != nil {
		return nil, err
	}
	if len(p.Tables) > 0 {
		with := wire.AppendBytes(nil, 1, root)
		for _, t := range p.Tables {
			table, err := p.marshal("Relation", wire.Object{"subqueryAlias": wire.Object{"alias": t.Name, "input": t.relation()}})
			if err != nil {
				return nil, err
			}
			with = wire.AppendBytes(with, 2, table)
		}
		root = wire.AppendBytes(nil, fieldWithRelations, with)
	}
	return wire.AppendBytes(nil, 1, root), nil // Plan.root
}

func (t Table) relation() wire.Object {
	if len(t.Files) == 0 {
		return wire.Object{"localRelation": wire.Object{"schema": t.DDL}}
	}
	return wire.Object{"read": wire.Object{"dataSource": wire.Object{
		"format": "parquet", "schema": t.DDL, "paths": t.Files,
		// Files are named one by one: their names are no patterns, and nothing in them is a partition's value.
		"options": wire.Object{"globPaths": "false", "recursiveFileLookup": "true", "datetimeRebaseMode": "CORRECTED", "mergeSchema": "false"},
	}}}
}

func (p Plan) marshal(name string, fields wire.Object) ([]byte, error) {
	m, err := wire.Message(name, fields)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}
