"""An application of Almanac: it learns from the releases of flights which flight will be late, and learns anew from each one that comes."""
