"""Tables for people."""


def table(rows, columns):
    """Lines of a table: rows are maps, columns a list of [key, heading]. What a row has none of is shown as –."""
    cells = [[heading for _, heading in columns]]
    cells += [[str(row.get(key) or "–") for key, _ in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]


class FilterModule:
    """Makes the function known to Ansible."""

    def filters(self):
        """By name."""
        return {"table": table}
