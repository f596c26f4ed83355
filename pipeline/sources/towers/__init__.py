"""Flux towers: FLUXNET2015 and AmeriFlux, daily and half-hourly."""
