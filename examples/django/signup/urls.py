from django.urls import path

from . import views

urlpatterns = [
    path("sign-up", views.sign_up),
    path("tasks/<uuid:task_id>", views.read),
    path("tasks/<uuid:task_id>/events", views.follow),
]
