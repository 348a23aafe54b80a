package connect

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
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
	root, err := p.marshal("Relation", object{"sql": object{"query": p.SQL}})
	if err != nil {
		return nil, err
	}
	if len(p.Tables) > 0 {
		with := bytesField(nil, 1, root)
		for _, t := range p.Tables {
			table, err := p.marshal("Relation", object{"subqueryAlias": object{"alias": t.Name, "input": t.relation()}})
			if err != nil {
				return nil, err
			}
			with = bytesField(with, 2, table)
		}
		root = bytesField(nil, fieldWithRelations, with)
	}
	return bytesField(nil, 1, root), nil // Plan.root
}

func (t Table) relation() object {
	if len(t.Files) == 0 {
		return object{"localRelation": object{"schema": t.DDL}}
	}
	return object{"read": object{"dataSource": object{
		"format": "parquet", "schema": t.DDL, "paths": t.Files,
		// Files are named one by one: their names are no patterns, and nothing in them is a partition's value.
		"options": object{"globPaths": "false", "recursiveFileLookup": "true", "datetimeRebaseMode": "CORRECTED", "mergeSchema": "false"},
	}}}
}

func (p Plan) marshal(name string, fields object) ([]byte, error) {
	m, err := message(name, fields)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(m)
}

func bytesField(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}
