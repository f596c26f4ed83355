"""SLOPE GPP: daily GeoTIFFs on the sinusoidal grid."""
