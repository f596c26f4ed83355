"""Eddy-covariance towers: FLUXNET2015 and AmeriFlux tables, daily, hourly and half-hourly.

Public modules: daily_record, fluxnet, read.
Inner modules: ameriflux, half_hourly, tables.
"""
